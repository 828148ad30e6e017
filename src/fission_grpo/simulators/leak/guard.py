"""The leak guard: does a feedback give the answer away? (docs/method.md, section 4)

A feedback leaks when it *binds a reference value to its parameter*, or *names a reference tool* that the failed message did
not call, unless that very string is in the environment's own error text.

**Naming a tool**: its name stands in the feedback as a word of its own, in any case, its parts joined by anything or nothing
(`get_user_id`, `getUserId`, `get user id`), or, from three parts on, in another order. A name that is an everyday word
(`find`) must be marked as a tool: in quotes, before a bracket, beside `call`, `use`, `tool`.

**Binding.** An *anchor* of a parameter is its name, the last word of that, the name of its tool, any word of either
that is not one of ordinary feedback, or the value that the failed message passed to it instead. A reference value is bound

- *explicitly*, when between anchor and value, in either order, stand only connecting words and signs: `folder=docs`,
  `"folder": "docs"`, `folder should be docs`, `use docs for the folder`, `3 instead of 5`, `cd('docs')`;
- *by nearness*, when an anchor stands within `NEARNESS` characters of it: `the folder you want is called docs`;
- *by a cue*, with no anchor: `did you mean docs?`, `use docs`, `the correct value is docs`.

Values of fewer than three characters and booleans turn up everywhere by chance: for them only explicit binding counts, and
only binding by the environment itself excuses it. So it is for words of ordinary feedback (`vocabulary.EVERYDAY`) and for
values that the failed message passed to another parameter, which moreover may be quoted. Lists and objects leak by any
scalar in them, an object's keys being parameters of their own.

**Disguise** is looked through (`forms.py`). Encoded, spelled, reversed and rotated strings count without being bound, for
they do not come about by chance (reversed and rotated ones from five characters on, or where the text hints at a cipher);
numbers, dates and values inside other words must be bound. `LeakForm` says how much had to be looked through.

No leak is a value that the failed message itself passed to that parameter: that part of the call was right already. A
malformed message has no calls; what its text binds or names is taken as called.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fission_grpo.simulators.leak.binding import Binder, OwnWords
from fission_grpo.simulators.leak.forms import LeakForm, ReadText, Sighting, decoded_shows, needles, sightings
from fission_grpo.simulators.leak.scalars import Scalar, same_scalar, scalars_of
from fission_grpo.simulators.leak.text import unescape
from fission_grpo.simulators.leak.tools import tool_form
from fission_grpo.types import Failure

_rank = tuple(LeakForm).index


class LeakKind(StrEnum):
    """What a feedback gave away."""

    VALUE = "value"
    """A reference value, bound to its parameter."""
    TOOL = "tool"
    """The name of a reference tool that was not called."""


@dataclass(frozen=True)
class Leak:
    """What leaked: the tool, and for a value the parameter and the value as text; and in which form."""

    kind: LeakKind
    tool: str
    parameter: str | None = None
    value: str | None = None
    form: LeakForm = LeakForm.EXACT


def leaks(feedback_text: str, failure: Failure) -> Leak | None:
    """What a feedback gives away of `failure.reference`, or None: of several leaks the first of the plainest form."""
    found = list(_Guard(feedback_text, failure).leaks())
    return min(found, key=lambda leak: _rank(leak.form), default=None)


class _Guard:
    """One feedback to one failure."""

    def __init__(self, feedback_text: str, failure: Failure) -> None:
        error_text = failure.error_text or ""
        own_words = _own_words(feedback_text, error_text)
        self._failure = failure
        self._text = ReadText(own_words)
        unescaped = unescape(own_words)
        self._unescaped = ReadText(unescaped) if unescaped != own_words else None
        self._excuse = ReadText(error_text)
        self._written = ReadText(failure.text if failure.format_error is not None else "")

    def leaks(self) -> Iterator[Leak]:
        yield from self._tool_leaks()
        for scalar in scalars_of(self._failure.reference):
            form = None if self._was_passed(scalar) else self._value_form(scalar)
            if form is not None:
                yield Leak(LeakKind.VALUE, scalar.tool, scalar.parameter, str(scalar.value), form)

    def _tool_leaks(self) -> Iterator[Leak]:
        called = {call.name for call in self._failure.calls}
        for name in dict.fromkeys(call.name for call in self._failure.reference):
            if name in called:
                continue
            form = tool_form(self._text, name, self._failure)
            if form is None and self._unescaped is not None and tool_form(self._unescaped, name, self._failure):
                form = LeakForm.PARAPHRASED
            excused = form and any(tool_form(said, name, self._failure) for said in (self._excuse, self._written))
            if form and not excused:
                yield Leak(LeakKind.TOOL, name, form=form)

    def _value_form(self, scalar: Scalar) -> LeakForm | None:
        form = self._form_in(self._text, scalar)
        if form is None and self._unescaped is not None and self._form_in(self._unescaped, scalar):
            form = LeakForm.PARAPHRASED
        if form is None and decoded_shows(self._text, scalar.value) and not self._is_said(scalar):
            form = LeakForm.PARAPHRASED
        if form is None or self._binds(self._written, scalar):
            return None
        return form

    def _form_in(self, text: ReadText, scalar: Scalar) -> LeakForm | None:
        """The plainest form in which `text` gives the scalar away."""
        found = list(sightings(text, scalar))
        if not found or self._is_said(scalar):
            return None
        binder = Binder(text, scalar, OwnWords(text, self._failure.calls))
        forms: dict[str, LeakForm] = {}
        for sighting in found:
            written = text.folded[slice(*sighting.span)]
            if (forms.get(written) is not LeakForm.EXACT) and binder.binds(sighting):
                forms[written] = min(_form(text, sighting, scalar), forms.get(written, LeakForm.PARAPHRASED), key=_rank)
        # What the environment wrote in disguise may be repeated in the same disguise.
        unsaid = [form for written, form in forms.items() if scalar.is_short or not self._excuse.has(written)]
        return min(unsaid, key=_rank, default=None)

    def _is_said(self, scalar: Scalar) -> bool:
        """Whether the environment said the value; a short one has to be bound there."""
        if scalar.is_short:
            return self._binds(self._excuse, scalar)
        return any(self._excuse.has(needle) for needle in needles(scalar.value))

    def _binds(self, text: ReadText, scalar: Scalar) -> bool:
        if not text.folded:
            return False
        binder = Binder(text, scalar, OwnWords(text, self._failure.calls))
        return any(binder.binds(sighting) for sighting in sightings(text, scalar))

    def _was_passed(self, scalar: Scalar) -> bool:
        passed = scalars_of(self._failure.calls)
        return any(own.parameter == scalar.parameter and same_scalar(own.value, scalar.value) for own in passed)


def _own_words(feedback_text: str, error_text: str) -> str:
    """What a feedback says behind the environment's words, where these stand whole on the lines before.

    They are no leak, and what follows must not build on their nearness.
    """
    rest = feedback_text.removeprefix(error_text)
    return rest if rest.startswith("\n") or not rest else feedback_text


def _form(text: ReadText, sighting: Sighting, scalar: Scalar) -> LeakForm:
    written, value = text.written(sighting.span), str(scalar.value)
    if written == value:
        return LeakForm.EXACT
    if sighting.form is not None:
        return sighting.form
    is_notation = written.isascii() or _letters(written) == _letters(value)
    return LeakForm.NORMALISED if is_notation else LeakForm.PARAPHRASED


def _letters(written: str) -> str:
    """What must be equal for a difference to be one of notation: characters that look alike, or hide, are a disguise."""
    folded = unicodedata.normalize("NFKC", written).casefold()
    return "".join(each for each in folded if each.isalnum() or not each.isprintable())
