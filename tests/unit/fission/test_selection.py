"""Selection picks contexts whose groups are likely to differ; escalation moves feedback levels."""

import random

import pytest
from failing import failure
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.fission.escalation import START_LEVEL, Escalation
from fission_grpo.fission.selection import RecoveryOdds, select, selection_key, signal_probability
from fission_grpo.types import FeedbackLevel, RuntimeErrorKind


@given(st.floats(0, 1), st.integers(2, 16))
def test_signal_probability_is_the_chance_of_a_mixed_group(p: float, size: int):
    generator = random.Random(0)
    value = signal_probability(p, size)
    assert -1e-9 <= value <= 1
    assert value == pytest.approx(signal_probability(1 - p, size))
    if p in (0.0, 1.0):
        assert value == 0
    draws = [sum(generator.random() < p for _ in range(size)) for _ in range(500)]
    assert abs(sum(0 < hits < size for hits in draws) / 500 - value) < 0.15


def test_prefers_contexts_with_signal():
    odds = RecoveryOdds()
    hopeless = failure("hopeless", tool="mv")
    even = failure("even", tool="cd")
    odds.record(selection_key(hopeless), 0, 40)
    odds.record(selection_key(even), 20, 20)
    assert select([hopeless, even], 1, odds, group_size=8) == [even]


def test_keeps_a_tenth_for_unseen_keys():
    odds = RecoveryOdds()
    seen = [failure(f"seen{index}", tool="cd") for index in range(10)]
    odds.record(selection_key(seen[0]), 20, 20)
    unseen = failure("unseen", tool="never", error_kind=RuntimeErrorKind.OTHER)
    assert unseen in select([*seen, unseen], 10, odds, group_size=8)


def test_old_evidence_counts_less():
    odds = RecoveryOdds()
    odds.record(("k", "t", 0), 10, 0)
    before = odds.probability(("k", "t", 0))
    for _ in range(30):
        odds.decay()
    assert 0.5 < odds.probability(("k", "t", 0)) < before


def test_no_success_comes_back_one_level_up_until_attempts_are_spent():
    escalation = Escalation(max_attempts=3)
    context = failure(level=FeedbackLevel.KIND)
    second = escalation.after_group(context, [False] * 4)
    assert second is not None
    assert (second.attempt, second.level) == (1, FeedbackLevel.PARAMETER)
    third = escalation.after_group(second, [False] * 4)
    assert third is not None
    assert (third.attempt, third.level) == (2, FeedbackLevel.FULL)
    assert escalation.after_group(third, [False] * 4) is None


def test_a_mixed_group_is_done_with():
    assert Escalation(max_attempts=3).after_group(failure(), [True, False]) is None


def test_all_recovered_starts_one_level_lower_next_time():
    escalation = Escalation(max_attempts=3)
    context = failure(level=START_LEVEL)
    assert escalation.start_level(context) == START_LEVEL
    assert escalation.after_group(context, [True] * 4) is None
    assert escalation.start_level(context) == START_LEVEL - 1
