"""Intervals by bootstrap over scenarios (and seeds), always of ratios of sums.

Tasks of one scenario share configuration and wording, and samples of one task share the task: neither is independent, so
whole scenarios are drawn. A difference between two methods is paired: both are seen on the same drawn scenarios and seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord

Counts = NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval; NaN at both ends where no resample had a denominator."""

    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class SummaryRow:
    """One metric of one arm, over all its seeds and scenarios."""

    metric: str
    ratio: Ratio
    interval: Interval


@dataclass(frozen=True)
class Difference:
    """One metric of two arms: `first` minus `second`.

    Attributes:
        difference: of the two pooled ratios, NaN where one has no denominator.
        by_seed: the difference of every seed alone, in order.
    """

    metric: str
    first: Ratio
    second: Ratio
    difference: float
    interval: Interval
    by_seed: tuple[float, ...]

    @property
    def seeds_agree(self) -> bool:
        """All seeds show a difference of the same sign."""
        return all(value > 0 for value in self.by_seed) or all(value < 0 for value in self.by_seed)


def summary(runs: Sequence[Sequence[EpisodeRecord]], metrics: Sequence[str], *, seed: int = 0) -> list[SummaryRow]:
    """Rows of a table: numerator, denominator and interval of each metric.

    Args:
        runs: the records of one arm, one sequence a training seed.
    """
    rows: list[SummaryRow] = []
    for metric in metrics:
        scenarios = scenario_columns(runs, metric)
        numerators_SC, denominators_SC = count_arrays(runs, metric, scenarios)
        interval = bootstrap_ratio(numerators_SC, denominators_SC, seed=seed)
        rows.append(SummaryRow(metric, _pooled(numerators_SC, denominators_SC), interval))
    return rows


def mean_of_groups(
    groups: Sequence[Sequence[EpisodeRecord]],
    metric: str,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, Interval]:
    """The unweighted mean of one metric over groups of tasks that share scenarios, such as BFCL's categories.

    A scenario is drawn into all groups at once, because its tasks resemble each other across them. A group without records
    counts 0, as BFCL counts a category that was left out; in a resample, one whose scenarios were not drawn is left out.
    """
    scenarios = scenario_columns(groups, metric)
    counts = [count_arrays([records], metric, scenarios) for records in groups]
    pooled = [_pooled(*pair).value or 0.0 for pair in counts]
    seeds_RS, scenarios_RC = _weights((1, len(scenarios)), resamples, seed)
    played = [_resampled(*pair, seeds_RS, scenarios_RC) for pair, records in zip(counts, groups, strict=True) if records]
    if not played:
        return 0.0, Interval(np.nan, np.nan, level)
    means_R = np.nanmean(np.stack(played), axis=0) * len(played) / len(groups)
    return sum(pooled) / len(groups), _interval(means_R, level)


def paired_difference(
    first: Sequence[Sequence[EpisodeRecord]], second: Sequence[Sequence[EpisodeRecord]], metric: str, *, seed: int = 0
) -> Difference:
    """Compares two arms on one metric.

    Args:
        first: records of the first arm, one sequence a training seed.
        second: the same for the second arm, its seeds in the same order.

    Raises:
        ValueError: the arms differ in their number of seeds.
    """
    if len(first) != len(second):
        raise ValueError(f"the arms have {len(first)} and {len(second)} seeds; pairs need equally many")
    scenarios = scenario_columns([*first, *second], metric)
    first_counts, second_counts = count_arrays(first, metric, scenarios), count_arrays(second, metric, scenarios)
    by_seed = ratio_of_sums(*(counts.sum(axis=1) for counts in first_counts))
    by_seed = by_seed - ratio_of_sums(*(counts.sum(axis=1) for counts in second_counts))
    pooled = _pooled(*first_counts), _pooled(*second_counts)
    values = [np.nan if ratio.value is None else ratio.value for ratio in pooled]
    interval = bootstrap_difference(first_counts, second_counts, seed=seed)
    return Difference(metric, *pooled, float(values[0] - values[1]), interval, tuple(map(float, by_seed)))


def bootstrap_ratio(
    numerators_SC: Counts, denominators_SC: Counts, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Interval of `numerators.sum() / denominators.sum()` when seeds (S) and scenarios (C) are drawn anew.

    With one seed only scenarios are drawn. With few seeds their share of the variance is known roughly at best.
    """
    weights = _weights(numerators_SC.shape, resamples, seed)
    return _interval(_resampled(numerators_SC, denominators_SC, *weights), level)


def bootstrap_difference(
    first: tuple[Counts, Counts],
    second: tuple[Counts, Counts],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of the difference of two ratios of sums, both over the same drawn seeds and scenarios.

    Args:
        first: numerators and denominators, (S, C) each.
        second: likewise, of the same shape.
    """
    weights = _weights(first[0].shape, resamples, seed)
    return _interval(_resampled(*first, *weights) - _resampled(*second, *weights), level)


@lru_cache(maxsize=4)  # the metrics of a table have the same scenarios
def _weights(shape: tuple[int, ...], resamples: int, seed: int) -> tuple[Counts, Counts]:
    """How often each seed (R, S) and each scenario (R, C) is drawn in every resample."""
    generator = np.random.default_rng(seed)
    seeds, scenarios = shape
    draw = [generator.multinomial(count, np.full(count, 1 / count), size=resamples) for count in (seeds, scenarios) if count]
    if len(draw) < 2:
        return np.zeros((resamples, seeds)), np.zeros((resamples, scenarios))
    return draw[0].astype(np.float64), draw[1].astype(np.float64)


def _resampled(numerators_SC: Counts, denominators_SC: Counts, seeds_RS: Counts, scenarios_RC: Counts) -> Counts:
    """The ratio in every resample (R,)."""
    sums = [((seeds_RS @ counts_SC) * scenarios_RC).sum(axis=1) for counts_SC in (numerators_SC, denominators_SC)]
    return ratio_of_sums(*sums)


def ratio_of_sums(numerators: Counts, denominators: Counts) -> Counts:
    """Elementwise quotient; NaN where there is no denominator."""
    return np.divide(numerators, denominators, out=np.full_like(numerators, np.nan), where=denominators > 0)


def _interval(values_R: Counts, level: float) -> Interval:
    known = values_R[~np.isnan(values_R)]
    if not known.size:
        return Interval(np.nan, np.nan, level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)


def _pooled(numerators_SC: Counts, denominators_SC: Counts) -> Ratio:
    return Ratio(int(numerators_SC.sum()), int(denominators_SC.sum()))


def scenario_columns(runs: Sequence[Sequence[EpisodeRecord]], metric: str) -> Mapping[str, int]:
    """The scenarios of all runs and their columns."""
    names = sorted({record.scenario for records in runs for record in records if metric in record.counts})
    return {name: column for column, name in enumerate(names)}


def count_arrays(
    runs: Sequence[Sequence[EpisodeRecord]], metric: str, scenarios: Mapping[str, int]
) -> tuple[Counts, Counts]:
    """Numerators and denominators (S, C), summed within seed and scenario; masked episodes count nowhere."""
    counts_2SC: Counts = np.zeros((2, len(runs), len(scenarios)))
    for row, records in enumerate(runs):
        counted = [each for each in records if metric in each.counts and not each.masked]
        columns = [scenarios[each.scenario] for each in counted]
        for part in range(2):
            weights = [each.counts[metric][part] for each in counted]
            counts_2SC[part, row] = np.bincount(columns, weights, len(scenarios)) if counted else 0
    return counts_2SC[0], counts_2SC[1]
