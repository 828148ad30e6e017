"""pass^k by hand, and what holds for every k."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.evaluation.pass_hat import above_baseline, outcomes_by_task, pass_hat, pass_rows
from fission_grpo.evaluation.records import EpisodeRecord


def record(task: str, trial: int, solved: bool, masked: bool = False) -> EpisodeRecord:
    return EpisodeRecord(task, task, trial, "completed", {"solved": (int(solved), 1)}, masked=masked)


def records(**outcomes: str) -> list[EpisodeRecord]:
    """By task, a letter a trial: solved, unsolved, or masked."""
    return [
        record(task, trial, letter == "s", letter == "m")
        for task, letters in outcomes.items()
        for trial, letter in enumerate(letters)
    ]


def test_an_example_by_hand() -> None:
    """a: 3 of 4; b: 4 of 4; c: 0 of 4. pass^2: (3/6 + 1 + 0) / 3; pass^3: (1/4 + 1 + 0) / 3."""
    rows = pass_rows(records(a="sssu", b="ssss", c="uuuu"), 4)
    assert [row.value for row in rows] == pytest.approx([7 / 12, 1 / 2, 5 / 12, 1 / 3])
    assert [row.tasks for row in rows] == [3, 3, 3, 3]
    assert all(row.interval.low <= row.value <= row.interval.high for row in rows)


def test_failures_of_the_infrastructure_count_nowhere() -> None:
    """b has one trial left, so that it has a pass^1 and no pass^2."""
    played = records(a="su", b="sm", c="mm")
    assert outcomes_by_task(played) == {"a": (1, 2), "b": (1, 1)}
    first, second = pass_rows(played, 2)
    assert (first.value, first.tasks) == (0.75, 2)
    assert (second.value, second.tasks) == (0.0, 1)


def test_nothing_played_has_no_value() -> None:
    (row,) = pass_rows([], 1)
    assert math.isnan(row.value) and row.tasks == 0 and math.isnan(row.interval.low)
    assert math.isnan(above_baseline([], {})[0])


def test_the_baseline_is_taken_on_the_tasks_that_were_played() -> None:
    difference, interval = above_baseline(records(a="ss", b="su"), {"a": True, "b": False, "never played": True})
    assert difference == pytest.approx(0.75 - 0.5)
    assert interval.low == pytest.approx(0.0) and interval.high == pytest.approx(0.5)


@given(st.integers(1, 12).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_pass_hat_starts_at_the_share_and_falls(case: tuple[int, int]) -> None:
    solved, trials = case
    values = [pass_hat(solved, trials, k) for k in range(1, trials + 1)]
    assert values[0] == pytest.approx(solved / trials)
    assert values == sorted(values, reverse=True)
    assert values[-1] == (1.0 if solved == trials else 0.0)


@pytest.mark.parametrize(("solved", "trials", "k"), [(1, 1, 2), (1, 1, 0), (2, 1, 1)])
def test_what_is_not_defined_is_refused(solved: int, trials: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_hat(solved, trials, k)
