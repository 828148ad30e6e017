"""Plays a task's reference solution up to a point: where step instances, demonstrations and probes come from."""

from collections.abc import Sequence

from fission_grpo.environments.base import Environment
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, ToolCall, ToolResult

CLOSING_TEXT = "Done."
"""What the assistant says at the end of every finished turn."""


def replay_reference(environment: Environment, task: Task, turn: int, step: int) -> list[Message]:
    """Resets the environment and plays the reference; returns the dialogue up to, and without, message `step` of `turn`.

    Args:
        turn: index of the user turn.
        step: index of the reference message within the turn; its length stands for the message that ends the turn.

    Raises:
        UserError: the task has no such turn or step.
    """
    if not 0 <= turn < len(task.turns):
        raise UserError(f"task {task.id}: turn {turn} does not exist; allowed: 0 to {len(task.turns) - 1}")
    if not 0 <= step <= len(task.turns[turn].reference):
        raise UserError(
            f"task {task.id}, turn {turn}: step {step} does not exist; allowed: 0 to {len(task.turns[turn].reference)}"
        )
    dialogue = environment.reset(task)
    for finished in task.turns[:turn]:
        for calls in finished.reference:
            dialogue += _play(environment, calls)
        dialogue.append({"role": "assistant", "content": CLOSING_TEXT})
        dialogue += environment.next_user_turn() or []
    for calls in task.turns[turn].reference[:step]:
        dialogue += _play(environment, calls)
    return dialogue


def call_message(calls: Sequence[ToolCall]) -> Message:
    """An assistant message that makes these calls. Arguments stay objects: what chat templates render."""
    functions = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": f} for f in functions]}


def result_message(call: ToolCall, result: ToolResult) -> Message:
    """The tool message that answers a call."""
    return {"role": "tool", "name": call.name, "content": result.content}


def _play(environment: Environment, calls: Sequence[ToolCall]) -> list[Message]:
    return [call_message(calls), *(result_message(call, environment.call(call)) for call in calls)]
