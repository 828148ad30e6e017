"""Tests of a difference between two arms, and the correction for making many of them.

Permutation test: if the methods did not matter, the two arms of a scenario could be swapped. Sign-flip test: likewise for
the two runs of a training seed. The first says whether *these* trained policies differ on scenarios like these; the second,
with few seeds a weak one, whether training again would show it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.statistics import Counts, count_arrays, ratio_of_sums, scenario_columns

PERMUTATIONS = 9_999
"""With the observed one 10,000: the smallest p-value is 0.0001."""
EXACT_SEEDS = 16
"""Most seeds whose sign flips are all counted."""
_TOLERANCE = 1e-12
"""Sums of the same numbers in another order may differ by rounding; such a tie counts as equal."""
_ROWS = 1_000
"""Permutations computed at once: bounds the memory."""


@dataclass(frozen=True)
class SignFlip:
    """The exact test over seeds.

    Attributes:
        p: two-sided.
        smallest: the least that p can be with so many seeds.
    """

    p: float
    smallest: float


def permutation_test(
    first: Sequence[Sequence[EpisodeRecord]],
    second: Sequence[Sequence[EpisodeRecord]],
    metric: str,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float | None:
    """Two-sided p-value of the difference of two pooled ratios, the arms swapped within scenarios.

    All seeds of a scenario are swapped together. Monte Carlo: p = (1 + b) / (1 + m), where b of m permutations have a
    difference at least as large as the observed one (Phipson and Smyth 2010).

    Args:
        first: records of the first arm, one sequence a training seed.
        second: the same for the second arm.

    Returns:
        None where an arm has no denominator.
    """
    scenarios = scenario_columns([*first, *second], metric)
    counts = [count_arrays(runs, metric, scenarios) for runs in (first, second)]
    return permuted_p(*(tuple(each.sum(axis=0) for each in arm) for arm in counts), permutations=permutations, seed=seed)


def permuted_p(
    first: tuple[Counts, ...], second: tuple[Counts, ...], *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float | None:
    """`permutation_test` of numerators and denominators (C,) of two arms, by scenario."""
    observed = _difference(*(np.array([[each.sum()] for each in arm]) for arm in (first, second)))[0]
    if np.isnan(observed):
        return None
    first_2C, second_2C = np.stack(first), np.stack(second)
    generator = np.random.default_rng(seed)
    as_large, done = 0, 0
    while done < permutations:
        rows = min(_ROWS, permutations - done)
        swapped_CR = generator.integers(0, 2, size=(first_2C.shape[1], rows)).astype(np.float64)
        moved_2R = (second_2C - first_2C) @ swapped_CR
        permuted_R = _difference(
            first_2C.sum(axis=1, keepdims=True) + moved_2R, second_2C.sum(axis=1, keepdims=True) - moved_2R
        )
        # A permutation that leaves an arm without denominator speaks for nothing, and counts against the difference.
        as_large += int((np.isnan(permuted_R) | (np.abs(permuted_R) >= abs(observed) - _TOLERANCE)).sum())
        done += rows
    return (1 + as_large) / (1 + permutations)


def sign_flip_test(by_seed: Sequence[float], *, seed: int = 0) -> SignFlip | None:
    """Exact two-sided test that the differences of the seeds are symmetric about zero: their signs flipped in all ways.

    Beyond `EXACT_SEEDS` seeds a sample of the ways is taken, as in `permutation_test`.

    Returns:
        None with fewer than two seeds, or where one has no difference.
    """
    values_S = np.asarray(by_seed, dtype=np.float64)
    if len(values_S) < 2 or np.isnan(values_S).any():
        return None
    observed = abs(values_S.sum()) - _TOLERANCE
    if len(values_S) <= EXACT_SEEDS:
        signs_RS = np.array(list(itertools.product((1.0, -1.0), repeat=len(values_S))))
        return SignFlip(float((np.abs(signs_RS @ values_S) >= observed).mean()), 2.0 / len(signs_RS))
    signs_RS = np.random.default_rng(seed).choice((1.0, -1.0), size=(PERMUTATIONS, len(values_S)))
    as_large = int((np.abs(signs_RS @ values_S) >= observed).sum())
    return SignFlip((1 + as_large) / (1 + PERMUTATIONS), 1 / (1 + PERMUTATIONS))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number (Holm 1979); a missing one is no member of the family.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


def _difference(first_2R: NDArray[np.float64], second_2R: NDArray[np.float64]) -> Counts:
    return ratio_of_sums(*first_2R) - ratio_of_sums(*second_2R)
