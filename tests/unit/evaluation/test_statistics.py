"""The bootstrap against known answers."""

import math

import numpy as np
import pytest

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.statistics import bootstrap_ratio, paired_difference, summary


def records(counts: dict[str, list[tuple[int, int]]], masked: bool = False) -> list[EpisodeRecord]:
    return [
        EpisodeRecord("t", scenario, sample, "completed", {"solved": pair}, masked=masked)
        for scenario, pairs in counts.items()
        for sample, pair in enumerate(pairs)
    ]


def coins(seed: int, scenarios: int, chance: float) -> list[EpisodeRecord]:
    generator = np.random.default_rng(seed)
    return records({f"s{i}": [(int(generator.random() < chance), 1)] for i in range(scenarios)})


def test_independent_coins_have_the_binomial_interval() -> None:
    row = summary([coins(0, 400, 0.5)], ["solved"])[0]
    half = 1.96 * math.sqrt(0.25 / 400)
    assert row.ratio.value is not None
    assert row.interval.low == pytest.approx(row.ratio.value - half, abs=0.01)
    assert row.interval.high == pytest.approx(row.ratio.value + half, abs=0.01)


def test_copies_within_a_scenario_add_no_certainty() -> None:
    once = records({f"s{i}": [(i % 2, 1)] for i in range(40)})
    many = records({f"s{i}": [(i % 2, 1)] * 25 for i in range(40)})
    first, second = summary([once], ["solved"])[0], summary([many], ["solved"])[0]
    assert (second.ratio.numerator, second.ratio.denominator) == (500, 1000)
    assert second.interval == first.interval


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(200):
        generator = np.random.default_rng(trial)
        denominators = generator.integers(0, 5, size=(1, 80)).astype(float)
        numerators = generator.binomial(denominators.astype(int), 0.3).astype(float)
        interval = bootstrap_ratio(numerators, denominators, resamples=400, seed=trial)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.89 <= covered / 200 <= 0.99


def test_pairs_cancel_what_scenarios_share() -> None:
    easy, hard = [(1, 1)] * 4, [(0, 1)] * 4
    base = records({f"s{i}": (easy if i % 2 else hard) for i in range(60)})
    better = records({f"s{i}": (easy if i % 2 or i % 10 == 0 else hard) for i in range(60)})
    found = paired_difference([better], [base], "solved")
    assert found.difference == pytest.approx(0.1)
    assert 0.02 < found.interval.low < 0.1 < found.interval.high < 0.19
    same = paired_difference([base], [base], "solved")
    assert (same.difference, same.interval.low, same.interval.high) == (0, 0, 0)


def test_seeds_are_paired_in_order_and_told_apart() -> None:
    first = [coins(1, 50, 0.9), coins(2, 50, 0.7), coins(3, 50, 0.8)]
    second = [coins(4, 50, 0.2), coins(5, 50, 0.3), coins(6, 50, 0.1)]
    found = paired_difference(first, second, "solved")
    assert len(found.by_seed) == 3 and found.seeds_agree
    assert found.by_seed[0] == pytest.approx(found_value(first[0]) - found_value(second[0]))
    assert not paired_difference([first[0], second[0]], [second[1], first[1]], "solved").seeds_agree
    with pytest.raises(ValueError, match="3 and 2 seeds"):
        paired_difference(first, second[:2], "solved")


def found_value(run: list[EpisodeRecord]) -> float:
    return sum(record.counts["solved"][0] for record in run) / len(run)


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = summary([coins(seed, 200, 0.5) for seed in range(4)], ["solved"])[0].interval
    apart = summary([coins(seed, 200, 0.2 + 0.2 * seed) for seed in range(4)], ["solved"])[0].interval
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_masked_and_missing_counts() -> None:
    run = records({"a": [(1, 1)]}) + records({"a": [(0, 1)]}, masked=True)
    assert summary([run], ["solved"])[0].ratio == Ratio(1, 1)
    nothing = summary([records({"a": [(0, 0)]})], ["solved", "unknown"])
    assert [row.ratio for row in nothing] == [Ratio(0, 0)] * 2
    assert all(math.isnan(row.interval.low) for row in nothing)


def test_equal_seeds_give_equal_intervals() -> None:
    generator = np.random.default_rng(0)
    denominators = generator.integers(1, 9, size=(2, 50)).astype(float)
    numerators = np.floor(denominators * generator.random((2, 50)))
    first, again, other = (bootstrap_ratio(numerators, denominators, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
