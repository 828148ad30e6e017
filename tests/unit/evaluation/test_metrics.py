"""Counts of hand-made and of played episodes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import UNLOCK, CharacterChat, Doors, ScriptedPolicy, calling, careful, door_task, enter, stubborn

from fission_grpo.evaluation.error_analysis import count_failures, tools_by_turn
from fission_grpo.evaluation.metrics import METRICS, Ratio, count_metrics
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.rollout.policy import Sampling
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import Completion, FailureKind, Step, StopReason, ToolCall, ToolResult, Trajectory, Verdict

OK, ERROR, SOFT = ToolResult("None"), ToolResult("error", is_error=True), ToolResult("no", is_soft_failure=True)


def trajectory(turns: list[list[tuple[str, ToolResult]]], verdict: Verdict | None, arguments: object = 1) -> Trajectory:
    """One message a call."""
    empty = Completion((1,), (0.0,), StopReason.END)
    steps = [
        Step(turn, (), empty, "", (ToolCall(name, {"x": arguments}),), None, (result,))
        for turn, calls in enumerate(turns)
        for name, result in calls
    ]
    return Trajectory("t", "s", tuple(steps), (), StopReason.COMPLETED, verdict)


def counts(
    metric: str, turns: list[list[tuple[str, ToolResult]]], verdict: Verdict, task: Task | None = None
) -> tuple[int, int]:
    ratio = METRICS[metric](trajectory(turns, verdict), task or door_task(doors=["a", "b", "c"]))
    return ratio.numerator, ratio.denominator


RIGHT, WRONG = Verdict(True, (True, True)), Verdict(False, (True, False))


def test_turn_recovery_counts_turns_behind_right_ones() -> None:
    erring = [("enter", ERROR), ("enter", OK)]
    assert counts("recovery_rate_turn", [erring, erring], RIGHT) == (2, 2)
    assert counts("recovery_rate_turn", [erring, erring], WRONG) == (1, 2)
    assert counts("recovery_rate_turn", [erring, erring], Verdict(False, (False, True))) == (0, 1)
    assert counts("recovery_rate_turn", [[("enter", OK)], erring], WRONG) == (0, 1)
    assert counts("recovery_rate_turn", [erring], Verdict(False, ())) == (0, 1)  # cut before its end
    assert counts("recovery_rate_turn", [[("enter", OK)]], RIGHT) == (0, 0)


def test_turn_recovery_leaves_out_turns_without_anything_to_do() -> None:
    idle = Task("t", "s", (Turn(({"role": "user", "content": "Hi."},)),))
    assert counts("recovery_rate_turn", [[("enter", ERROR)]], Verdict(True, (True,)), idle) == (0, 0)


def test_call_recovery_needs_the_same_tool_to_succeed_within_the_turn() -> None:
    assert counts("recovery_rate_call", [[("enter", ERROR), ("unlock", OK), ("enter", OK)]], RIGHT) == (1, 1)
    assert counts("recovery_rate_call", [[("enter", ERROR), ("enter", ERROR), ("enter", OK)]], RIGHT) == (2, 2)
    assert counts("recovery_rate_call", [[("enter", ERROR), ("enter", SOFT)]], RIGHT) == (0, 1)
    assert counts("recovery_rate_call", [[("enter", ERROR)], [("enter", OK)]], RIGHT) == (0, 1)
    assert counts("recovery_rate_call", [[("enter", OK), ("enter", ERROR)]], RIGHT) == (0, 1)


def test_repeats_are_equal_calls_that_err_again() -> None:
    assert counts("repeat_rate", [[("enter", ERROR), ("enter", ERROR)]], RIGHT) == (1, 2)
    assert counts("repeat_rate", [[("enter", ERROR), ("enter", OK)]], RIGHT) == (0, 1)
    assert counts("repeat_rate", [[("enter", ERROR), ("unlock", ERROR)]], RIGHT) == (0, 2)
    assert counts("repeat_rate", [[("enter", ERROR)], [("enter", ERROR)]], RIGHT) == (0, 2)


def test_rates_over_all_calls() -> None:
    turns = [[("enter", ERROR), ("unlock", OK), ("enter", SOFT), ("enter", OK)]]
    assert counts("error_rate", turns, RIGHT) == (1, 4)
    assert counts("soft_failure_rate", turns, RIGHT) == (1, 4)
    assert counts("recovery_rate_task", turns, RIGHT) == (1, 1)
    assert counts("recovery_rate_task", [[("enter", OK)]], RIGHT) == (0, 0)


@pytest.mark.parametrize(
    ("tags", "hidden", "free"), [(["hidden_hazard"], 1, 0), (["open_hazard"], 0, 0), (["wrong_unit"], 0, 1), ([], 0, 1)]
)
def test_hazards_go_by_tag(tags: list[str], hidden: int, free: int) -> None:
    task = door_task(tags=tags)
    assert counts("hidden_hazards_solved", [], RIGHT, task) == (hidden, hidden)
    assert counts("hazard_free_solved", [], RIGHT, task) == (free, free)


def test_a_masked_episode_counts_nowhere() -> None:
    masked = count_metrics(trajectory([[("enter", ERROR)]], None), door_task())
    assert set(masked.values()) == {Ratio(0, 0)}


outcomes = st.lists(
    st.lists(st.tuples(st.sampled_from(["enter", "unlock"]), st.sampled_from([OK, ERROR, SOFT]))), max_size=3
)


@given(outcomes, st.lists(st.booleans(), max_size=3))
def test_numerators_stay_within_denominators(turns: list[list[tuple[str, ToolResult]]], judged: list[bool]) -> None:
    verdict = Verdict(len(judged) == 3 and all(judged), tuple(judged))
    ratios = count_metrics(trajectory(turns, verdict), door_task(doors=["a", "b", "c"]))
    assert all(0 <= ratio.numerator <= ratio.denominator for ratio in ratios.values())
    erred = sum(result.is_error for calls in turns for _, result in calls)
    assert ratios["recovery_rate_call"].denominator == ratios["repeat_rate"].denominator == erred
    assert ratios["error_rate"].numerator == erred


def failures_of(policy: ScriptedPolicy, task: Task, limits: EpisodeLimits | None = None) -> Counter[FailureKind]:
    arguments = (policy, CharacterChat(), limits or EpisodeLimits(), Sampling(max_new_tokens=500))
    played = play_episodes([task], lambda task: Doors(), *arguments)[0]
    return count_failures(played, task, tools_by_turn(Doors(), task))


def test_mistakes_by_kind() -> None:
    task = door_task(doors=["red"])
    assert failures_of(ScriptedPolicy(careful), task) == {FailureKind.RUNTIME_ERROR: 1}
    assert failures_of(ScriptedPolicy(stubborn), task) == {
        FailureKind.RUNTIME_ERROR: 1,
        FailureKind.REPEATED_FAILING_CALL: 1,
        FailureKind.MISSING_CALL: 1,
    }
    assert failures_of(ScriptedPolicy(lambda context: "<tool_call>"), task) == {
        FailureKind.MALFORMED_CALL: 1,
        FailureKind.MISSING_CALL: 1,
    }
    once = iter([calling(UNLOCK, ("enter", {"gate": 3})), "Done."])
    assert failures_of(ScriptedPolicy(lambda context: next(once)), task)[FailureKind.SCHEMA_VIOLATION] == 1
    wrong = iter([calling(UNLOCK, enter("blue")), "Done."])
    assert failures_of(ScriptedPolicy(lambda context: next(wrong)), task) == {FailureKind.WRONG_ARGUMENTS: 1}
