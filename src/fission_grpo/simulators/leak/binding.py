"""What a text binds a value to: anchors, nearness, cues, and the failed message's own words."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate

from fission_grpo.simulators.leak.forms import LeakForm, ReadText, Sighting, name_parts, name_variants, needles
from fission_grpo.simulators.leak.scalars import SHORT, Scalar, same_scalar, scalars_of
from fission_grpo.simulators.leak.text import Span, Text, fold
from fission_grpo.simulators.leak.vocabulary import CONNECTORS, EVERYDAY, FILLERS
from fission_grpo.types import ToolCall

NEARNESS = 60
"""Characters between anchor and value within which a long value counts as bound."""
LISTED_WITHIN = 40
"""Most characters between two values that are repeated as a list."""

_LISTED = re.compile(r"[\s,:=()\[\]{}>-]*(?:(?:and|to|into|with|in)\s)?[\s,:=()\[\]{}>-]*")


class Places:
    """Spans in a text, to be asked for the nearest on each side."""

    def __init__(self, spans: Iterable[Span]) -> None:
        spans = list(spans)
        self.starts = sorted(start for start, _ in spans)
        self.ends = sorted(end for _, end in spans)
        self._reach = list(accumulate((end for _, end in sorted(spans)), max))

    def left_of(self, place: int) -> int | None:
        """Where the nearest span that is over by `place` ends."""
        index = bisect_right(self.ends, place)
        return self.ends[index - 1] if index else None

    def right_of(self, place: int) -> int | None:
        """Where the nearest span from `place` on starts."""
        index = bisect_left(self.starts, place)
        return self.starts[index] if index < len(self.starts) else None

    def overlap(self, span: Span) -> bool:
        """Whether a span shares a character with one of them."""
        before = bisect_left(self.starts, span[1])
        return before > 0 and self._reach[before - 1] > span[0]


class OwnWords:
    """Where a text repeats what the failed message passed.

    Args:
        calls: of the failed message.
    """

    def __init__(self, text: ReadText, calls: Sequence[ToolCall]) -> None:
        self._text = text
        self._calls = [list(scalars_of([call])) for call in calls]
        self._named = lru_cache(self._places_of_name)
        self._listed = lru_cache(self._places_of_value)

    @property
    def scalars(self) -> list[Scalar]:
        return [scalar for call in self._calls for scalar in call]

    def covering(self, value: str) -> list[Span]:
        """The own values in which a folded value stands as a part (`old/a.txt` and `a.txt`)."""
        own = [fold(str(scalar.value)) for scalar in self.scalars]
        holders = [each for each in dict.fromkeys(own) if each != value and Text(each).has(value)]
        return [span for each in holders for span in self._text.find(each)]

    @cached_property
    def places(self) -> Places:
        """Every own value, wherever it stands."""
        return Places(span for scalar in self.scalars for span in self._find(scalar.value))

    def quotes(self, span: Span, scalar: Scalar, follows_anchor: bool) -> bool:
        """Whether a value is repeated at `span` as what the message passed to another parameter.

        It stands behind that parameter's name, or beside the value that the message passed just before or after; before the
        name only where it does not follow an anchor of its own (`source: a.txt, destination: b`).
        """
        return any(
            self._is_quoted(call, index, span, follows_anchor)
            for call in self._calls
            for index, own in enumerate(call)
            if own.parameter != scalar.parameter and same_scalar(own.value, scalar.value)
        )

    def passed_elsewhere(self, scalar: Scalar) -> bool:
        """Whether the message passed the value to some other parameter."""
        return any(own.parameter != scalar.parameter and same_scalar(own.value, scalar.value) for own in self.scalars)

    def _is_quoted(self, call: list[Scalar], index: int, span: Span, follows_anchor: bool) -> bool:
        start, end = span
        names = self._named(call[index].parameter)
        named, named_behind = names.left_of(start), names.right_of(end)
        if named is not None and self._text.connects(named, start):
            return True
        if not follows_anchor and named_behind is not None and self._text.connects(end, named_behind):
            return True
        before = self._listed(call[index - 1].value).left_of(start) if index else None
        after = self._listed(call[index + 1].value).right_of(end) if index + 1 < len(call) else None
        return (before is not None and self._lists(before, start)) or (after is not None and self._lists(end, after))

    def _lists(self, left: int, right: int) -> bool:
        return right - left < LISTED_WITHIN and _LISTED.fullmatch(self._text.folded, left, right) is not None

    def _places_of_name(self, parameter: str) -> Places:
        return Places(span for name in name_variants(parameter) for span in self._text.find(name))

    def _places_of_value(self, value: object) -> Places:
        return Places(self._find(value))

    def _find(self, value: object) -> list[Span]:
        return [span for needle in needles(value)[:1] for span in self._text.find(needle)]


class Binder:
    """Judges where a text binds a scalar.

    Args:
        own: the failed message's own words in the same text.
    """

    def __init__(self, text: ReadText, scalar: Scalar, own: OwnWords) -> None:
        self._text, self._scalar, self._own = text, scalar, own
        plain = fold(str(scalar.value))
        hidden = own.covering(plain) if plain else []
        self._hidden = Places(hidden)
        self._elsewhere = own.passed_elsewhere(scalar)
        self._anchors = Places([*self._anchor_spans(), *hidden])
        self._is_weak = self._elsewhere or scalar.is_short
        self._is_everyday = plain in EVERYDAY

    def binds(self, sighting: Sighting) -> bool:
        """Whether the sighting counts: bound, or proof enough without."""
        start, end = sighting.span
        if self._hidden.overlap(sighting.span):
            return False
        if sighting.form is LeakForm.PARAPHRASED and self._own.places.overlap((start, start + 1)):
            return False
        if sighting.is_free or sighting.is_bound:
            return True
        left, right = self._anchors.left_of(start), self._anchors.right_of(end)
        follows = left is not None and self._text.connects(left, start)
        if self._elsewhere and self._own.quotes(sighting.span, self._scalar, follows):
            return False
        if follows or (right is not None and self._text.connects(end, right)):
            return True
        if self._is_weak or (self._is_everyday and not self._text.stands_out(sighting.span)):
            return False
        near = (left is not None and start - left <= NEARNESS) or (right is not None and right - end <= NEARNESS)
        return near or self._is_announced(start, end)

    def _is_announced(self, start: int, end: int) -> bool:
        before, behind = bisect_right(self._text.cue_ends, start), bisect_left(self._text.cue_starts, end)
        if before and self._text.connects(self._text.cue_ends[before - 1], start):
            return True
        return behind < len(self._text.cue_starts) and self._text.connects(end, self._text.cue_starts[behind])

    def _anchor_spans(self) -> list[Span]:
        """The parameter's name, and what else stands for it: its tool and the wrong value."""
        spans = _name_spans(self._text, self._scalar.parameter)
        if not self._elsewhere:
            names = [*name_variants(self._scalar.tool), *_telling_parts(self._scalar.tool)]
            spans += [span for name in names for span in self._text.find(name)]
        wrong = [own.value for own in self._own.scalars if own.parameter == self._scalar.parameter]
        return spans + [span for value in wrong for each in needles(value) for span in self._text.find(each)]


def _name_spans(text: Text, parameter: str) -> list[Span]:
    """The name of a parameter, the last word of it (`the id` for `ticket_id`) and its telling words, also in the plural."""
    names = [*name_variants(parameter), *name_parts(parameter)[-1:], *_telling_parts(parameter)]
    counts = [name.removesuffix("s") for name in names if len(name) > 3] + [f"{name}s" for name in names if len(name) > 2]
    return [span for name in dict.fromkeys([*names, *counts]) for span in text.find(name)]


def _telling_parts(name: str) -> list[str]:
    """The words of a name that are not words of any feedback: `distance` of `distance_m`, `song` of `play_song`."""
    return [part for part in name_parts(name) if len(part) > SHORT and part not in EVERYDAY | CONNECTORS | FILLERS]
