"""An episode by chat messages, on tau2's own tasks: what is read, answered, and counted."""

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from fission_grpo.environments.tau2 import Tau2Environment, tau2_tasks
from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.asking import Completion, ContextExceeded, Outcome, Request
from fission_grpo.evaluation.chat_play import play_chat, text_of
from fission_grpo.rollout.usage import Usage
from fission_grpo.types import StopReason, Trajectory
from tau2_play.scripts import Said, reference_script

TASK = tau2_tasks("telecom", solo=True)[3]
TALK = tau2_tasks("retail")[5]


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


def completion(said: Said) -> Completion:
    from json import dumps

    return Completion(said.text, tuple(call(each.name, dumps(each.arguments)) for each in said.calls), 100, 10)


def asking(*outcomes: Outcome) -> Callable[[Request], Outcome]:
    """Says these, one after the other; remembers what it was asked."""
    waiting = list(outcomes)

    def ask(request: Request) -> Outcome:
        requests.append(request)
        return waiting.pop(0)

    requests: list[Request] = []
    ask.__dict__["requests"] = requests
    return ask


def play(*outcomes: Outcome, task: Any = TASK, max_steps: int = 200) -> Trajectory:
    return play_chat(task, Tau2Environment(), asking(*outcomes), max_steps)[0]


@pytest.mark.parametrize("task", [TASK, TALK], ids=["solo", "with a user"])
def test_the_reference_is_solved(task: Any) -> None:
    script = reference_script(task)
    ask = asking(*map(completion, script))
    trajectory, usage = play_chat(task, Tau2Environment(), ask, 200)
    assert trajectory.solved and trajectory.stop_reason is StopReason.COMPLETED
    assert [step.calls for step in trajectory.steps] == [said.calls for said in script]
    assert usage == Usage(100 * len(script), 10 * len(script))
    for request in ask.__dict__["requests"]:
        ids = [made["id"] for message in request.messages for made in message.get("tool_calls", ())]
        answered = [message["tool_call_id"] for message in request.messages if message["role"] == "tool"]
        assert ids == answered and len(set(ids)) == len(ids), "every call has one answer, under its own id"


def test_calls_that_the_endpoint_left_in_the_text_are_calls() -> None:
    script = reference_script(TASK)
    assert play(*(Completion(said.rendered()) for said in script)).solved


BROKEN = {
    "half an object": ('{"path": ', "invalid_json"),
    "a list": ("[1]", "invalid_arguments"),
    "the same key twice": ('{"a": 1, "a": 2}', "duplicate_key"),
}


@pytest.mark.parametrize(("arguments", "kind"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_arguments_are_the_models_mistake(arguments: str, kind: str) -> None:
    trajectory = play(Completion("", (call("get_details_by_id", arguments),)), *map(completion, reference_script(TASK)))
    step = trajectory.steps[0]
    assert step.format_error is not None and step.format_error.kind == kind
    assert step.calls == () and trajectory.verdict is not None


def test_missing_arguments_are_none() -> None:
    assert text_of(Completion("", (call("done", None),))) == '<tool_call>\n{"name": "done", "arguments": {}}\n</tool_call>'


def test_a_conversation_that_outgrows_the_context_is_unsolved() -> None:
    trajectory = play(completion(reference_script(TASK)[0]), ContextExceeded("8,192 tokens"))
    assert trajectory.stop_reason is StopReason.TOKEN_LIMIT
    assert trajectory.verdict is not None and not trajectory.solved
    assert len(trajectory.steps) == 1


def test_too_many_messages_are_unsolved() -> None:
    trajectory = play(*map(completion, reference_script(TASK)), max_steps=1)
    assert trajectory.stop_reason is StopReason.STEP_LIMIT and not trajectory.solved


def test_a_failure_of_the_endpoint_has_no_verdict_and_says_why() -> None:
    trajectory = play(InfrastructureError("connection lost"))
    assert trajectory.stop_reason is StopReason.INFRASTRUCTURE and trajectory.verdict is None
    assert trajectory.fault == "connection lost"


def test_a_stopped_conversation_is_no_result() -> None:
    stopped = Event()
    stopped.set()
    trajectory, _ = play_chat(TASK, Tau2Environment(), asking(), 200, stopped)
    assert trajectory.verdict is None
