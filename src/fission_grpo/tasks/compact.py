"""The compact mix: one family a task, one API class, few tools, short texts.

What the bundled policy was built on and is measured with: the same seed must give the same tasks, byte for byte, for ever
(`benchmarks/learning/manifest.json` holds the hashes). New families go into the benchmark mix alone.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from fission_grpo.errors import UserError
from fission_grpo.tasks.catalogue import tool_names
from fission_grpo.tasks.contamination import Contamination
from fission_grpo.tasks.draft import Draft, Family, Kind, Scene, Slot
from fission_grpo.tasks.proof import Playable, is_avoidable, prove, prove_twins
from fission_grpo.tasks.task import Careless, Task, Turn
from fission_grpo.types import ToolCall

KIND_SHARES: dict[Kind, float] = {"hidden": 0.72, "open": 0.19, "plain": 0.09}
"""How many tasks are of which kind. (`HIDDEN_HAZARD_RATE` of the hidden kind hold their hazard.)"""
HIDDEN_HAZARD_RATE = 0.5
TOOLS_OFFERED = (8, 9, 10)
"""How many tools a prompt offers, drawn with equal chance."""
MAX_ATTEMPTS = 100


def make_compact(slot: Slot, families: Sequence[Family], environment: Playable, contamination: Contamination) -> Task:
    """The first attempt that shares nothing with what exists, proven."""
    for attempt in range(MAX_ATTEMPTS):
        key = f"{slot.seed}:{slot.split}:{slot.index}:{attempt}"
        rng = Random(key)
        family = _choose(rng, families)
        hazardous, clear = _twins(family, key, slot)
        if contamination.shared(hazardous) or contamination.shared(clear):
            continue
        task = clear if family.hidden and rng.random() >= HIDDEN_HAZARD_RATE else hazardous
        prove(task, environment)
        if family.hidden:
            prove_twins(hazardous, clear, environment)
            if is_avoidable(hazardous, clear, environment):
                task = replace(task, tags=(*task.tags, "avoidable"))
        contamination.accept((hazardous, clear))
        return task
    raise UserError(f"count: no new task was found in {MAX_ATTEMPTS} attempts at task {slot.index}; ask for fewer")


def _choose(rng: Random, families: Sequence[Family]) -> Family:
    """A kind by its share, then a family of that kind with equal chance."""
    kinds: list[Kind] = [kind for kind in KIND_SHARES if any(family.kind == kind for family in families)]
    kind = rng.choices(kinds, [KIND_SHARES[kind] for kind in kinds])[0]
    return rng.choice([family for family in families if family.kind == kind])


def _twins(family: Family, key: str, slot: Slot) -> tuple[Task, Task]:
    """One scenario with and without the hidden hazard; the same task twice where the family has none.

    Both offer the tools that the hazard calls for: what is offered must not give the hazard away.
    """
    drafts = [family.write(Scene(Random(key), slot.split, hazard)) for hazard in (True, False)]
    tools = _offer(drafts[0], family.api, Random(f"{key}:tools"))
    hazardous, clear = (_build(family, draft, tools, slot) for draft in drafts)
    return hazardous, clear


def _build(family: Family, draft: Draft, tools: tuple[str, ...], slot: Slot) -> Task:
    careless = tuple(
        Careless(index, turn.careless_step, turn.careless)
        for index, turn in enumerate(draft.turns)
        if turn.careless is not None
    )
    scenario = f"{family.name}-{slot.seed}-{slot.index:06d}"
    return Task(
        id=f"{scenario}-hazard" if family.hidden and careless else scenario,
        scenario=scenario,
        split=slot.split,
        classes=(family.api,),
        tools=tools,
        config={family.api: draft.config} if draft.config else {},
        turns=tuple(
            Turn(({"role": "user", "content": turn.text},), tuple((call,) for call in turn.calls)) for turn in draft.turns
        ),
        tags=_tags(family, present=bool(careless)),
        careless=careless,
    )


def _calls(draft: Draft) -> Iterator[ToolCall]:
    for turn in draft.turns:
        yield from turn.calls
        if turn.careless is not None:
            yield turn.careless


def _offer(draft: Draft, api: str, rng: Random) -> tuple[str, ...]:
    """The tools needed and others of the class, shuffled."""
    needed = sorted({call.name for call in _calls(draft)})
    others = sorted(set(tool_names(api)) - set(needed))
    rng.shuffle(others)
    offered = list(itertools.chain(needed, others))[: max(rng.choice(TOOLS_OFFERED), len(needed))]
    rng.shuffle(offered)
    return tuple(offered)


def _tags(family: Family, *, present: bool) -> tuple[str, ...]:
    """The family; whether its hazard is hidden, open or absent; and what the hazard is, where one is present."""
    tags = (f"family:{family.name}",)
    if family.hazard is None:
        return tags
    if not present:
        return (*tags, "hazard_absent")
    return (*tags, "hidden_hazard" if family.hidden else "open_hazard", f"hazard:{family.hazard}")
