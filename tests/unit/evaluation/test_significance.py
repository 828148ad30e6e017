"""Permutation and sign-flip tests, and Holm's correction, against answers computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.significance import holm, permutation_test, permuted_p, sign_flip_test


def records(counts: dict[str, tuple[int, int]], masked: bool = False) -> list[EpisodeRecord]:
    return [
        EpisodeRecord("t", scenario, 0, "completed", {"solved": pair}, masked=masked) for scenario, pair in counts.items()
    ]


def binary(values: list[int]) -> list[EpisodeRecord]:
    return records({f"s{index}": (value, 1) for index, value in enumerate(values)})


def test_the_p_value_is_the_share_of_swaps_that_differ_as_much() -> None:
    """Three scenarios, all won: of the 8 ways to swap them 2 give a difference of 3/3. Fewer wins: |sum of 3 signs| >= 1."""
    found = permutation_test([binary([1, 1, 1])], [binary([0, 0, 0])], "solved", permutations=20_000)
    assert found == pytest.approx(2 / 8, abs=0.01)
    assert permutation_test([binary([1, 1, 0])], [binary([0, 0, 1])], "solved") == 1.0
    five = permutation_test([binary([1] * 5)], [binary([0] * 5)], "solved", permutations=20_000)
    assert five == pytest.approx(2 / 32, abs=0.006)


def test_a_ratio_of_sums_is_what_is_permuted() -> None:
    """Arms a: 3/3 and 0/1, b: 0/1 and 0/3. The differences of the four ways: +3/4, -3/4, and 3/6 - 0/2, 0/2 - 3/6."""
    a, b = records({"x": (3, 3), "y": (0, 1)}), records({"x": (0, 1), "y": (0, 3)})
    assert permutation_test([a], [b], "solved", permutations=20_000) == pytest.approx(2 / 4, abs=0.012)


def test_all_seeds_of_a_scenario_are_swapped_together() -> None:
    """Ten seeds that agree are one observation: two scenarios can never give less than 2 of 4."""
    found = permutation_test([binary([1, 1])] * 10, [binary([0, 0])] * 10, "solved", permutations=20_000)
    assert found == pytest.approx(0.5, abs=0.012)


def test_the_smallest_p_value_counts_the_observation_itself() -> None:
    assert permutation_test([binary([1] * 60)], [binary([0] * 60)], "solved", permutations=999) == 1 / 1000


def test_without_a_denominator_nothing_is_said() -> None:
    assert permutation_test([binary([1])], [records({"s0": (0, 0)})], "solved") is None
    assert permutation_test([binary([1])], [records({"s0": (1, 1)}, masked=True)], "solved") is None
    assert permutation_test([], [], "solved") is None


def test_under_the_null_p_values_are_uniform() -> None:
    """Both arms of every scenario come from the same chance, and have denominators of their own making."""
    generator = np.random.default_rng(7)
    found: list[float] = []
    for trial in range(300):
        chances_C = generator.random(120)
        denominators_2C = generator.integers(0, 9, size=(2, 120))
        numerators_2C = generator.binomial(denominators_2C, chances_C)
        arms = [(numerators_2C[arm].astype(float), denominators_2C[arm].astype(float)) for arm in range(2)]
        p = permuted_p(*arms, permutations=399, seed=trial)
        assert p is not None
        found.append(p)
    for level in (0.05, 0.2, 0.5, 0.8):
        spread = 3 * math.sqrt(level * (1 - level) / len(found))
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=spread)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(4, 6)), min_size=1, max_size=12))
def test_the_arms_are_alike_to_it_and_equal_arms_do_not_differ(triples: list[tuple[int, int, int]]) -> None:
    first, second, denominators = np.array(triples, dtype=float).T
    one, other = (first, denominators), (second, denominators)
    assert permuted_p(one, other, permutations=199) == permuted_p(other, one, permutations=199)
    assert permuted_p(one, one, permutations=199) == 1.0


def test_sign_flips_are_counted_exactly() -> None:
    """0.1, 0.2, 0.3: of 8 ways only + + + and - - - sum to 0.6 or more. 0.1, 0.2, -0.3: all ways do."""
    found = sign_flip_test([0.1, 0.2, 0.3])
    assert found is not None and (found.p, found.smallest) == (0.25, 0.25)
    mixed = sign_flip_test([0.1, 0.2, -0.3])
    assert mixed is not None and mixed.p == 1.0
    partly = sign_flip_test([0.4, 0.1, -0.1])  # +-4 +-1 +-1: |sum| >= 4 in 6 of 8 ways
    assert partly is not None and partly.p == 0.75


def test_sign_flips_need_two_seeds_that_have_a_difference() -> None:
    assert sign_flip_test([0.3]) is None
    assert sign_flip_test([0.3, math.nan]) is None
    smallest = [found.smallest for seeds in (2, 3, 5) if (found := sign_flip_test([0.1] * seeds)) is not None]
    assert smallest == [0.5, 0.25, 0.0625]


def test_many_seeds_are_sampled() -> None:
    found = sign_flip_test([0.1] * 20)
    assert found is not None and found.p < 0.001


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_the_sign_of_all_seeds_does_not_matter(by_seed: list[float]) -> None:
    found, turned = sign_flip_test(by_seed), sign_flip_test([-value for value in by_seed])
    assert found is not None and turned is not None
    assert found.p == turned.p >= found.smallest


def test_holm_by_hand() -> None:
    """0.01 x 4; 0.02 x 3; 0.03 x 2 = 0.06, no less than the one before; 0.9 x 1."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.4, 0.5]) == [0.8, 0.8]
    assert holm([None, 0.5, None]) == [None, 0.5, None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    corrected = [p for p in holm(p_values) if p is not None]
    assert all(after >= before and after <= 1 for before, after in zip(p_values, corrected, strict=True))
    assert sorted(range(len(p_values)), key=lambda i: (p_values[i], i)) == sorted(
        range(len(p_values)), key=lambda i: (corrected[i], p_values[i], i)
    )
