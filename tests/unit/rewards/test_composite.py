"""The composite reward, its settings and its binary outcome."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.rewards import CompositeReward, RewardSettings, ScoredStep
from fission_grpo.rewards.length import length_score
from fission_grpo.types import Tool, ToolCall

ADD: Tool = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
REFERENCE = (ToolCall("add", {"a": 1, "b": 2}),)
MALFORMED = FormatError(FormatErrorKind.INVALID_JSON, "The call is not valid JSON.")


def scored(*calls: ToolCall, reference: tuple[ToolCall, ...] = REFERENCE, error: FormatError | None = None) -> ScoredStep:
    return ScoredStep("", calls, error, 20, reference, 20, (ADD,))


@pytest.mark.parametrize(
    ("step", "form", "correctness", "outcome"),
    [
        (scored(*REFERENCE), 1.0, 1.0, True),
        (scored(ToolCall("add", {"a": 1.0, "b": 2})), 1.0, 1.0, True),
        (scored(ToolCall("add", {"a": 1, "b": 3})), 1.0, 0.75, False),
        (scored(ToolCall("add", {"a": 1})), 0.0, 0.5 + 0.5 * 2 / 3, False),
        (scored(ToolCall("sum", {"a": 1, "b": 2})), 0.0, 0.0, False),
        (scored(), 1.0, 0.0, False),
        (scored(reference=()), 1.0, 1.0, True),
        (scored(reference=(), error=MALFORMED), 0.0, 1.0, False),
        (scored(error=MALFORMED), 0.0, 0.0, False),
    ],
)
def test_terms_and_outcome(step: ScoredStep, form: float, correctness: float, outcome: bool) -> None:
    breakdown = CompositeReward().score(step, training_step=0)
    assert (breakdown.format, breakdown.outcome) == (form, outcome)
    assert breakdown.correctness == pytest.approx(correctness)
    assert breakdown.total == pytest.approx((2 * form + 2 * correctness + 1) / 3)


@pytest.mark.parametrize(("training_step", "weights"), [(0, (2, 2)), (75, (1.5, 2.5)), (150, (1, 3)), (9999, (1, 3))])
def test_weights_move_from_format_to_correctness(training_step: int, weights: tuple[float, float]) -> None:
    reward = CompositeReward()
    right, silent = reward(scored(*REFERENCE), training_step), reward(scored(), training_step)
    assert right == pytest.approx((sum(weights) + 1) / 3)
    assert right - silent == pytest.approx(weights[1] / 3)


def test_a_lower_threshold_lets_a_partly_right_step_pass() -> None:
    step = scored(ToolCall("add", {"a": 1, "b": 3}))
    assert CompositeReward(RewardSettings(delta_corr=0.75)).score(step, 0).outcome
    assert not CompositeReward(RewardSettings(delta_corr=0.76)).score(step, 0).outcome


def test_without_the_length_term_length_is_no_difference() -> None:
    short, long = (ScoredStep("", REFERENCE, None, length, REFERENCE, 20, (ADD,)) for length in (20, 2000))
    with_length, without = CompositeReward(), CompositeReward(RewardSettings(use_length=False))
    assert with_length(short, 0) > with_length(long, 0)
    assert without(short, 0) == without(long, 0) == with_length(short, 0)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.05, 1), st.floats(1, 3), st.floats(0.05, 2))
def test_length_score_is_one_in_the_band_and_falls_outside(
    length: int, reference: int, low: float, high: float, sigma: float
) -> None:
    score = length_score(length, reference, (low, high), sigma)
    ratio = length / max(reference, 1)
    assert 0 <= score <= 1
    assert not (low <= ratio <= high) or score == 1
    if ratio > high:
        assert length_score(length + 10, reference, (low, high), sigma) <= score
        assert not ratio > high + sigma or score < 0.61


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"schedule_steps": -1}, "schedule_steps"),
        ({"length_sigma": 0}, "length_sigma"),
        ({"length_band": [2.0, 0.5]}, "length_band"),
        ({"w_fmt": [2.0]}, "w_fmt"),
        ({"aplha": 0.5}, "aplha"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        TypeAdapter(RewardSettings).validate_python(settings)


def test_128_rows_take_less_than_ten_milliseconds() -> None:
    reward = CompositeReward()
    one, two = ToolCall("add", {"a": 1, "b": 3}), ToolCall("add", {"a": 2, "b": 2})
    rows = [scored(one)] * 112 + [scored(one, two, reference=(*REFERENCE, ToolCall("add", {"a": 2, "b": 3})))] * 16
    durations: list[float] = []
    for _ in range(40):
        start = time.process_time()  # other processes do not count
        for row in rows:
            reward(row, 0)
        durations.append(time.process_time() - start)
    assert min(durations) < 0.010
