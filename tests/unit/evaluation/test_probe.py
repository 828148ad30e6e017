"""Frozen error contexts: made, stored, brought back and continued."""

from dataclasses import replace
from pathlib import Path

import pytest
from scripted import (
    UNLOCK,
    CharacterChat,
    Doors,
    ScriptedPolicy,
    calling,
    careful,
    door_task,
    enter,
    last_line,
    stubborn,
    wanted_door,
)

from fission_grpo.errors import UserError
from fission_grpo.evaluation.evaluate import EvaluationResult, evaluate
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.probe import continue_probe
from fission_grpo.evaluation.probe_set import (
    ErrorContext,
    contexts_of_careless_calls,
    contexts_of_failures,
    load_probe,
    restore_context,
    save_probe,
    select_contexts,
)
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall, ToolResult

TASKS = [door_task(index, ["red", "blue"]) for index in range(6)]


def make(task: Task) -> Doors:
    return Doors()


def failures_of(policy: ScriptedPolicy, tasks: list[Task]) -> list[ErrorContext]:
    result = evaluate(policy, CharacterChat(), tasks, make, max_new_tokens=300, samples=2, keep_trajectories=True)
    return contexts_of_failures(result.trajectories, tasks)


def probe(policy: ScriptedPolicy, contexts: list[ErrorContext], samples: int = 2) -> EvaluationResult:
    return continue_probe(policy, CharacterChat(), contexts, make, samples=samples, max_new_tokens=300)


def test_contexts_end_with_the_first_error() -> None:
    contexts = failures_of(ScriptedPolicy(stubborn), TASKS[:2])
    assert len(contexts) == 2  # equal samples are one context
    for context in contexts:
        assert (context.turn, context.source, context.failed) == (0, "policy", ToolCall(*enter("red")))
        assert [message["role"] for message in context.messages] == ["system", "user", "assistant", "tool"]
        assert "locked" in context.messages[-1]["content"]


def enters_twice_in_turn_two(context: str) -> str:
    """Right in the first turn, then asks for a door that there is no tool for."""
    if "Enter blue" not in context:
        return calling(UNLOCK, enter("red")) if last_line(context).startswith("user:") else "Done."
    return calling(("paint", {})) if last_line(context).startswith("user:") else "Done."


def test_errors_of_later_turns_replay_the_earlier_ones() -> None:
    context = failures_of(ScriptedPolicy(enters_twice_in_turn_two), TASKS[:1])[0]
    assert context.turn == 1
    assert [[call.name for call in calls] for calls in context.calls] == [["unlock", "enter"], ["paint"]]
    assert probe(
        ScriptedPolicy(lambda c: calling(enter("blue")) if "paint" in last_line(c) else "Done."), [context]
    ).metrics["probe_recovery"] == Ratio(2, 2)


def test_errors_behind_a_wrong_turn_are_no_contexts() -> None:
    def wrong_then_error(context: str) -> str:
        return "No." if "Enter blue" not in context else stubborn(context)

    assert failures_of(ScriptedPolicy(wrong_then_error), TASKS[:1]) == []


def test_injected_contexts_are_the_careless_calls() -> None:
    contexts = contexts_of_careless_calls(TASKS, make)
    assert [context.failed for context in contexts] == [task.careless[0].call for task in TASKS]
    assert all(context.source == "injected" for context in contexts)
    harmless = replace(TASKS[0], careless=(replace(TASKS[0].careless[0], step=1),))
    with pytest.raises(UserError, match=r"careless\.0: the call enter does not err"):
        contexts_of_careless_calls([harmless], make)


def test_probe_recovery_is_of_the_turn_of_the_error() -> None:
    contexts = contexts_of_careless_calls(TASKS, make)

    def only_the_first_turn(context: str) -> str:
        return careful(context) if wanted_door(context) == "red" else "No."

    assert probe(ScriptedPolicy(careful), contexts).metrics["probe_recovery"] == Ratio(12, 12)
    result = probe(ScriptedPolicy(only_the_first_turn), contexts)
    assert result.metrics == {"probe_recovery": Ratio(12, 12), "probe_repeat": Ratio(0, 12)}
    assert all(record.tags[-1] == "injected" for record in result.records)


def test_repeating_the_failed_call_is_counted() -> None:
    result = probe(ScriptedPolicy(stubborn), contexts_of_careless_calls(TASKS, make), samples=1)
    assert result.metrics == {"probe_recovery": Ratio(0, 6), "probe_repeat": Ratio(6, 6)}


def test_every_policy_gets_the_same_contexts() -> None:
    contexts = failures_of(ScriptedPolicy(stubborn), TASKS)
    first, second = ScriptedPolicy(lambda context: "No."), ScriptedPolicy(lambda context: "Done.")
    probe(first, contexts)
    probe(second, contexts)
    assert first.prompts == second.prompts


def test_a_probe_set_survives_its_file(tmp_path: Path) -> None:
    contexts = [*contexts_of_careless_calls(TASKS, make), *failures_of(ScriptedPolicy(stubborn), TASKS)]
    digest = save_probe(contexts, tmp_path / "probe" / "set.jsonl")
    assert load_probe(tmp_path / "probe" / "set.jsonl") == contexts
    assert digest == save_probe(contexts, tmp_path / "again.jsonl") != save_probe(contexts[1:], tmp_path / "less.jsonl")


def test_a_changed_probe_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    save_probe(contexts_of_careless_calls(TASKS, make), path)
    path.write_text(path.read_text().replace("locked", "closed", 1))
    with pytest.raises(UserError, match="hash to"):
        load_probe(path)
    path.write_text("{}\n")
    with pytest.raises(UserError, match="line 1: no header"):
        load_probe(path)
    with pytest.raises(UserError, match="no such file"):
        load_probe(tmp_path / "none.jsonl")


def test_an_environment_that_answers_otherwise_is_refused() -> None:
    class OtherDoors(Doors):
        def call(self, call: ToolCall) -> ToolResult:
            return replace(super().call(call), content="shut")

    with pytest.raises(UserError, match="no longer answers as recorded"):
        restore_context(contexts_of_careless_calls(TASKS[:1], make)[0], OtherDoors())


def test_selection_is_spread_over_the_scenarios() -> None:
    contexts = contexts_of_careless_calls(TASKS, make)  # two tasks a scenario
    chosen = select_contexts(contexts, 3, seed=1)
    assert len({context.task.scenario for context in chosen}) == 3
    assert chosen == select_contexts(contexts, 3, seed=1) and len(select_contexts(contexts, 99)) == 6
    assert len({context.id for context in select_contexts(contexts, 5)}) == 5


def test_a_failure_that_equals_an_injected_one_counts_once() -> None:
    failures = failures_of(ScriptedPolicy(stubborn), TASKS)
    chosen = select_contexts([*failures, *contexts_of_careless_calls(TASKS, make)], 99)
    assert len(chosen) == len(failures) == 6
    assert {context.source for context in chosen} == {"policy"}
