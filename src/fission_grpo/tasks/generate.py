"""Generates new multi-turn tasks over the API classes of bfcl-eval. Every task is proven by playing it.

Tasks come in three kinds. A *hidden* hazard cannot be seen in the prompt: the same words are used where the careless call
errs and where it is right. An *open* hazard always invites a careless call. A *plain* task has none.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from fission_grpo.errors import UserError
from fission_grpo.tasks.catalogue import tool_names
from fission_grpo.tasks.contamination import Contamination, official_benchmark
from fission_grpo.tasks.draft import Draft, Family, Scene
from fission_grpo.tasks.families import FAMILIES
from fission_grpo.tasks.proof import Playable, is_avoidable, prove, prove_twins
from fission_grpo.tasks.task import Careless, Split, Task, Turn
from fission_grpo.types import ToolCall

Kind = Literal["hidden", "open", "plain"]

KIND_SHARES: dict[Kind, float] = {"hidden": 0.72, "open": 0.19, "plain": 0.09}
"""How many tasks are of which kind. (`HIDDEN_HAZARD_RATE` of the hidden kind hold their hazard.)"""
HIDDEN_HAZARD_RATE = 0.5
TOOLS_OFFERED = (8, 9, 10)
"""How many tools a prompt offers, drawn with equal chance."""
MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class SplitShares:
    """How the tasks are divided; must add up to 1."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise UserError(f"split shares: found {shares}, they must be 0 or more and add up to 1")

    def assign(self, count: int) -> list[Split]:
        """The split of each of `count` tasks: train first, then validation, then test."""
        train = round(count * self.train)
        validation = min(round(count * self.validation), count - train)
        sizes: dict[Split, int] = {"train": train, "validation": validation, "test": count - train - validation}
        return [split for split, size in sizes.items() for _ in range(size)]


@dataclass(frozen=True)
class _Slot:
    """A place in the output that a task is made for."""

    index: int
    seed: int
    split: Split


def generate_tasks(
    count: int,
    seed: int,
    environment: Playable,
    *,
    shares: SplitShares | None = None,
    families: Sequence[Family] = FAMILIES,
    on_task: Callable[[], None] | None = None,
) -> list[Task]:
    """Generates `count` proven tasks, reproducible from `seed`; train tasks first, then validation, then test.

    Splits share no scenario and no invented name. No task shares a configuration or 8 words in a row with the benchmark.

    Args:
        environment: plays the proofs, such as `BFCLEnvironment()`.
        shares: how the tasks are divided into splits.
        families: what to draw from.
        on_task: called after each task, for a progress bar.

    Raises:
        UserError: `count` is not positive.
        Disproof: a family wrote a task that does not hold what it promises.
    """
    if count < 1:
        raise UserError(f"count: found {count}, it must be 1 or more")
    contamination = Contamination(official_benchmark())
    tasks: list[Task] = []
    for index, split in enumerate((shares or SplitShares()).assign(count)):
        tasks.append(_make(_Slot(index, seed, split), families, environment, contamination))
        if on_task is not None:
            on_task()
    return tasks


def _make(slot: _Slot, families: Sequence[Family], environment: Playable, contamination: Contamination) -> Task:
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


def kind_of(family: Family) -> Kind:
    """Which of the three kinds a family's tasks are."""
    if family.hazard is None:
        return "plain"
    return "hidden" if family.hidden else "open"


def _choose(rng: Random, families: Sequence[Family]) -> Family:
    """A kind by its share, then a family of that kind with equal chance."""
    kinds: list[Kind] = [kind for kind in KIND_SHARES if any(kind_of(family) == kind for family in families)]
    kind = rng.choices(kinds, [KIND_SHARES[kind] for kind in kinds])[0]
    return rng.choice([family for family in families if kind_of(family) == kind])


def _twins(family: Family, key: str, slot: _Slot) -> tuple[Task, Task]:
    """One scenario with and without the hidden hazard; the same task twice where the family has none.

    Both offer the tools that the hazard calls for: what is offered must not give the hazard away.
    """
    drafts = [family.write(Scene(Random(key), slot.split, hazard)) for hazard in (True, False)]
    tools = _offer(drafts[0], family.api, Random(f"{key}:tools"))
    hazardous, clear = (_build(family, draft, tools, slot) for draft in drafts)
    return hazardous, clear


def _build(family: Family, draft: Draft, tools: tuple[str, ...], slot: _Slot) -> Task:
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
