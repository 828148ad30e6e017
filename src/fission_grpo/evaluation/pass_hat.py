"""pass^k: the chance that k trials of a task, drawn without putting back from those played, are all solved."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.statistics import Interval, bootstrap_difference, bootstrap_ratio

SOLVED = "solved"


@dataclass(frozen=True)
class PassRow:
    """One pass^k, the mean over tasks.

    Attributes:
        value: NaN without tasks.
        tasks: tasks with at least k trials; others have no pass^k.
        interval: by bootstrap over tasks, whose trials stay together.
    """

    k: int
    value: float
    tasks: int
    interval: Interval


def pass_hat(solved: int, trials: int, k: int) -> float:
    """pass^k of one task: C(solved, k) / C(trials, k), as tau-bench has it.

    >>> [round(pass_hat(3, 4, k), 3) for k in (1, 2, 3, 4)]
    [0.75, 0.5, 0.25, 0.0]
    """
    if not 1 <= k <= trials or not 0 <= solved <= trials:
        raise ValueError(f"pass^{k} of {solved} solved among {trials} trials is not defined")
    return comb(solved, k) / comb(trials, k)


def outcomes_by_task(records: Sequence[EpisodeRecord]) -> dict[str, tuple[int, int]]:
    """Solved trials and trials of every task; those in which the infrastructure failed count nowhere."""
    outcomes: dict[str, list[int]] = defaultdict(list)
    for record in records:
        if not record.masked:
            outcomes[record.task_id].append(record.counts[SOLVED][0])
    return {task: (sum(each), len(each)) for task, each in outcomes.items()}


def pass_rows(records: Sequence[EpisodeRecord], most: int) -> list[PassRow]:
    """pass^1 to pass^`most`."""
    return [_row(outcomes_by_task(records), k) for k in range(1, most + 1)]


def above_baseline(records: Sequence[EpisodeRecord], baseline: Mapping[str, bool]) -> tuple[float, Interval]:
    """pass^1 minus the share that a baseline solves, both of the tasks played.

    Args:
        baseline: by task, whether it solves it; every task that was played must be there.
    """
    outcomes = outcomes_by_task(records)
    if not outcomes:
        return np.nan, Interval(np.nan, np.nan)
    own = np.array([[pass_hat(solved, trials, 1) for solved, trials in outcomes.values()]])
    other = np.array([[float(baseline[task]) for task in outcomes]])
    ones = np.ones_like(own)
    return float(own.mean() - other.mean()), bootstrap_difference((own, ones), (other, ones))


def _row(outcomes: Mapping[str, tuple[int, int]], k: int) -> PassRow:
    values = np.array([[pass_hat(solved, trials, k) for solved, trials in outcomes.values() if trials >= k]])
    if not values.size:
        return PassRow(k, np.nan, 0, Interval(np.nan, np.nan))
    return PassRow(k, float(values.mean()), values.size, bootstrap_ratio(values, np.ones_like(values)))
