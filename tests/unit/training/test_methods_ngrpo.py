"""NGRPO's advantages, by hand and by their properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.training.methods.base import Scores
from fission_grpo.training.methods.ngrpo import NGRPO, calibrated

REWARDS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8)


def test_an_all_failed_group_learns() -> None:
    # With the virtual best, the rewards are 0, 0, 0, 1: mean 1/4, variance (3 * 1/16 + 9/16) / 4 = 3/16, deviation 0.43301.
    # Each advantage is -0.25 / (0.43301 + 1e-4) = -0.57722.
    assert calibrated([0.0, 0.0, 0.0], best=1.0) == pytest.approx([-0.57722] * 3, abs=1e-5)


def test_a_mixed_group_is_measured_against_the_best_too() -> None:
    # 2, 0 and the best, 4: mean 2, variance (0 + 4 + 4) / 3 = 8/3, deviation 1.63299. The middle reward is average now.
    assert calibrated([2.0, 0.0], best=4.0) == pytest.approx([0.0, -2.0 / 1.63309], abs=1e-5)


def test_rows_that_the_infrastructure_broke_take_no_part() -> None:
    assert calibrated([None, 0.0, 0.0, 0.0], best=1.0) == [0.0, *calibrated([0.0, 0.0, 0.0], best=1.0)]


def test_the_best_reward_is_that_of_the_update() -> None:
    method = NGRPO(best_reward=lambda update: 1.0 + update)
    group = [Scores(0.0, False), Scores(1.0, False)]
    assert method.advantages(group, recovery=False, update=3) == calibrated([0.0, 1.0], best=4.0)


@given(REWARDS)
def test_the_virtual_best_takes_what_the_group_lacks(rewards: list[float]) -> None:
    """Deviations from a mean sum to zero and the virtual one's is the largest: the rollouts' own never sum above zero."""
    own = calibrated(rewards, best=1.0)
    assert sum(own) <= 1e-6
    assert max(own) <= -sum(own) + 1e-6


def test_a_group_at_its_best_has_no_signal() -> None:
    assert calibrated([1.0, 1.0], best=1.0) == [0.0, 0.0]
