"""Generates new multi-turn tasks over the API classes of bfcl-eval. Every task is proven by playing it.

Tasks come in three kinds. A *hidden* hazard cannot be seen in the prompt: the same words are used where the careless call
errs and where it is right. An *open* hazard always invites a careless call. A *plain* task has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fission_grpo.errors import UserError
from fission_grpo.tasks.compact import make_compact
from fission_grpo.tasks.composite import make_composite
from fission_grpo.tasks.contamination import Contamination, official_benchmark
from fission_grpo.tasks.draft import Family, Slot
from fission_grpo.tasks.families import BENCHMARK_FAMILIES, COMPACT_FAMILIES
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.proof import Playable
from fission_grpo.tasks.task import Split, Task


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


def generate_tasks(
    count: int,
    seed: int,
    environment: Playable,
    *,
    mix: Mix = Mix.BENCHMARK,
    shares: SplitShares | None = None,
    families: Sequence[Family] | None = None,
    on_task: Callable[[], None] | None = None,
) -> list[Task]:
    """Generates `count` proven tasks, reproducible from `seed`; train tasks first, then validation, then test.

    Splits share no scenario and no invented name. No task shares a configuration, 8 words in a row or a sequence of
    reference calls with the benchmark.

    Args:
        environment: plays the proofs, such as `BFCLEnvironment()`.
        mix: which kind of tasks.
        shares: how the tasks are divided into splits.
        families: what to draw from; default: all of the mix.
        on_task: called after each task, for a progress bar.

    Raises:
        UserError: `count` is not positive.
        Disproof: a family wrote a task that does not hold what it promises.
    """
    if count < 1:
        raise UserError(f"count: found {count}, it must be 1 or more")
    make, drawn_from = _MIXES[mix]
    contamination = Contamination(official_benchmark())
    tasks: list[Task] = []
    for index, split in enumerate((shares or SplitShares()).assign(count)):
        tasks.append(make(Slot(index, seed, split), families or drawn_from, environment, contamination))
        if on_task is not None:
            on_task()
    return tasks


_MIXES = {
    Mix.COMPACT: (make_compact, COMPACT_FAMILIES),
    Mix.BENCHMARK: (make_composite, BENCHMARK_FAMILIES),
}
