"""The drafts that a composed task is made of: drawn so that they go together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

from fission_grpo.tasks.draft import LAST, Draft, Family, Hazard, Kind, Scene, Slot
from fission_grpo.tasks.proof import Disproof
from fission_grpo.types import ToolCall

KIND_SHARES: dict[Kind, float] = {"hidden": 0.4, "open": 0.2, "plain": 0.4}
"""How many drafts are of which kind; half of the hidden ones hold their hazard."""
_SIGNS_IN = frozenset({Hazard.MISSING_LOGIN, Hazard.EXPIRED_TOKEN})


@dataclass(frozen=True)
class Part:
    """The draft of one family within a task.

    Attributes:
        hazardous, clear: with the hidden hazard and without it; the same where the family has none.
        present: whether the hazard is in the task.
        taken: all names and numbers in it.
    """

    family: Family
    hazardous: Draft
    clear: Draft
    present: bool
    taken: frozenset[str]

    def draft(self, mirrored: bool) -> Draft:
        """The draft as the task has it, or as its mirror image has it."""
        return self.hazardous if self.present != mirrored or not self.family.hidden else self.clear

    @property
    def calls(self) -> Iterator[ToolCall]:
        """All reference calls, with the hazard and without it."""
        for turn in chain(self.hazardous.turns, self.clear.turns):
            yield from turn.calls

    @property
    def rank(self) -> int:
        """Signing in comes first of the class: what follows finds the session open."""
        return 0 if self.family.hazard in _SIGNS_IN else 2 if LAST in self.family.owns else 1


def draw_parts(rng: Random, slot: Slot, families: Sequence[Family], classes: Sequence[str], requests: int) -> list[Part]:
    """Parts that go together, with about so many requests, in the order in which they are played.

    A class may be left without a part where none fits.
    """
    parts: list[Part] = []
    for number in range(3 * requests):
        api = classes[number] if number < len(classes) else rng.choice(classes)
        fitting = _fitting(families, api, parts)
        if fitting:
            part = _part(rng, slot, _family(rng, fitting))
            if _go_together(part, parts):
                parts.append(part)
        if number >= len(classes) - 1 and sum(len(each.clear.turns) for each in parts) >= requests:
            break
    return list(_interleaved(rng, parts))


def _fitting(families: Sequence[Family], api: str, parts: Sequence[Part]) -> list[Family]:
    """The families of a class that are not in the task yet and own nothing that is owned."""
    owned = {thing for part in parts if part.family.api == api for thing in part.family.owns}
    used = {part.family.name for part in parts}
    ours = [family for family in families if family.api == api and family.name not in used]
    return [family for family in ours if owned.isdisjoint(family.owns)]


def _family(rng: Random, families: Sequence[Family]) -> Family:
    """A kind by its share, then a family of that kind with equal chance."""
    kinds: list[Kind] = [kind for kind in KIND_SHARES if any(family.kind == kind for family in families)]
    kind = rng.choices(kinds, [KIND_SHARES[kind] for kind in kinds])[0]
    return rng.choice([family for family in families if family.kind == kind])


def _part(rng: Random, slot: Slot, family: Family) -> Part:
    key = rng.random()
    scene = Scene(Random(key), slot.split, hazard=True)
    hazardous = family.write(scene)
    if not family.hidden:
        return Part(family, hazardous, hazardous, True, scene.names.taken)
    clear_scene = Scene(Random(key), slot.split, hazard=False)
    clear = family.write(clear_scene)
    _check_twins(family, hazardous, clear)
    return Part(family, hazardous, clear, rng.random() < 0.5, scene.names.taken | clear_scene.names.taken)


def _check_twins(family: Family, hazardous: Draft, clear: Draft) -> None:
    """A hidden hazard changes no word, and without it the careless call is the right one.

    Raises:
        Disproof: it is not so.
    """
    for with_hazard, without in zip(hazardous.turns, clear.turns, strict=True):
        if (with_hazard.text, with_hazard.unsaid) != (without.text, without.unsaid):
            raise Disproof(f"{family.name}: the user says something else without the hazard")
        step, careless = with_hazard.careless_step, with_hazard.careless
        if careless is not None and without.calls[step] != careless:
            raise Disproof(f"{family.name}: {careless} is not the right call without the hazard")


def _go_together(part: Part, others: Sequence[Part]) -> bool:
    """Whether no name or number means two things, and no call is asked for twice: its second result would be known."""
    if any(part.taken & other.taken for other in others):
        return False
    return {str(call) for call in part.calls}.isdisjoint(str(call) for other in others for call in other.calls)


def _interleaved(rng: Random, parts: Sequence[Part]) -> Iterator[Part]:
    """The classes in turns, by chance; within a class by rank."""
    waiting: dict[str, list[Part]] = {}
    for part in sorted(parts, key=lambda each: each.rank):
        waiting.setdefault(part.family.api, []).append(part)
    while waiting:
        api = rng.choice(list(waiting))
        yield waiting[api].pop(0)
        if not waiting[api]:
            del waiting[api]
