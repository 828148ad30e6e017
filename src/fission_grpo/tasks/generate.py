"""Generates new multi-turn tasks over the API classes of bfcl-eval. Every task is proven by playing it.

Tasks come in three kinds. A *hidden* hazard cannot be seen in the prompt: the same words are used where the careless call
errs and where it is right. An *open* hazard always invites a careless call. A *plain* task has none.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from fission_grpo.errors import UserError
from fission_grpo.tasks.catalogue import benchmark_entries, tool_names
from fission_grpo.tasks.contamination import Contamination
from fission_grpo.tasks.draft import Draft, Family, Scene
from fission_grpo.tasks.families import FAMILIES
from fission_grpo.tasks.proof import Playable, prove, prove_twins
from fission_grpo.tasks.task import Careless, Split, Task, Turn
from fission_grpo.types import ToolCall

Kind = Literal["hidden", "open", "plain"]

KIND_SHARES: dict[Kind, float] = {"hidden": 0.72, "open": 0.19, "plain": 0.09}
"""How many tasks are of which kind. Of the hidden kind half hold their hazard."""
TOOLS_OFFERED = (8, 9, 10)
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
        return [*["train"] * train, *["validation"] * validation, *["test"] * (count - train - validation)]


@dataclass(frozen=True)
class _Slot:
    """A place in the output that a task is made for."""

    index: int
    seed: int
    split: Split


def generate_tasks(
    count: int,
    seed: int,
    environment: Playable | None = None,
    *,
    shares: SplitShares | None = None,
    families: tuple[Family, ...] = FAMILIES,
    on_task: Callable[[], None] = lambda: None,
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
    return list(iter_tasks(count, seed, environment, shares=shares, families=families, on_task=on_task))


def iter_tasks(
    count: int,
    seed: int,
    environment: Playable | None,
    *,
    shares: SplitShares | None,
    families: tuple[Family, ...],
    on_task: Callable[[], None],
) -> Iterator[Task]:
    if environment is None:
        from fission_grpo.tasks.direct import DirectEnvironment

        environment = DirectEnvironment()
    contamination = Contamination(benchmark_entries())
    for index, split in enumerate((shares or SplitShares()).assign(count)):
        yield _make(_Slot(index, seed, split), families, environment, contamination)
        on_task()


def _make(slot: _Slot, families: tuple[Family, ...], environment: Playable, contamination: Contamination) -> Task:
    """The first attempt that shares nothing with what exists."""
    for attempt in range(MAX_ATTEMPTS):
        key = f"{slot.seed}:{slot.split}:{slot.index}:{attempt}"
        rng = Random(key)
        family = _choose(rng, families)
        hazard = family.hidden and rng.random() < 0.5
        tasks = _twins(family, key, slot) if family.hidden else (_build(family, key, slot, hazard=False),)
        if any(contamination.shared(task) for task in tasks):
            continue
        if family.hidden:
            with_hazard, clear = tasks
            prove_twins(with_hazard, clear, environment)
        task = tasks[0] if hazard or not family.hidden else tasks[1]
        prove(task, environment)
        contamination.accept(tasks)
        return task
    raise UserError(f"count: no new task was found in {MAX_ATTEMPTS} attempts at task {slot.index}; ask for fewer")


def kind_of(family: Family) -> Kind:
    """Which of the three kinds a family's tasks are."""
    if family.hazard is None:
        return "plain"
    return "hidden" if family.hidden else "open"


def _choose(rng: Random, families: tuple[Family, ...]) -> Family:
    """A kind by its share, then an API class, then a family of both, each with equal chance."""
    kinds = sorted({kind_of(family) for family in families})
    kind = rng.choices(kinds, [KIND_SHARES[kind] for kind in kinds])[0]
    fitting = [family for family in families if kind_of(family) == kind]
    return rng.choice(fitting)


def _twins(family: Family, key: str, slot: _Slot) -> tuple[Task, Task]:
    """The same scenario with and without the hazard, offering the same tools."""
    return _build(family, key, slot, hazard=True), _build(family, key, slot, hazard=False)


def _build(family: Family, key: str, slot: _Slot, *, hazard: bool) -> Task:
    draft = family.write(Scene(Random(key), slot.split, hazard))
    scenario = f"{family.name}-{slot.seed}-{slot.index:06d}"
    # The tools are those of the twin with the hazard: what is offered must not give the hazard away.
    hard = family.write(Scene(Random(key), slot.split, hazard=True))
    return Task(
        id=f"{scenario}-hazard" if hazard else scenario,
        scenario=scenario,
        split=slot.split,
        classes=(family.api,),
        tools=_offer(hard, family.api, Random(f"{key}:tools")),
        config={family.api: draft.config} if draft.config else {},
        turns=tuple(
            Turn(({"role": "user", "content": turn.text},), tuple((call,) for call in turn.calls)) for turn in draft.turns
        ),
        tags=_tags(family, hazard),
        careless=tuple(
            Careless(index, turn.careless_step, turn.careless)
            for index, turn in enumerate(draft.turns)
            if turn.careless is not None
        ),
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


def _tags(family: Family, hazard: bool) -> tuple[str, ...]:
    """`family:...` always; the kind of hazard where one is present."""
    tags = [f"family:{family.name}"]
    if family.hazard is None:
        return tuple(tags)
    if family.hidden and not hazard:
        return (*tags, "hazard_absent")
    return (*tags, "hidden_hazard" if hazard else "open_hazard", f"hazard:{family.hazard}")
