"""Agents by script as OpenAI-compatible endpoints, on tau2's own tasks."""

import json
from collections.abc import Sequence

from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Tool, ToolCall
from tau2_play.scripts import Said, reference_script


class ScriptedAgent:
    """Plays the reference of whichever of its tasks is asked about, with what it is told to say before it."""

    name = "reference"

    def __init__(self, tasks: Sequence[Task], opening: Sequence[Message] = ()) -> None:
        self._scripts = {key_of(task): [said_message(said) for said in reference_script(task)] for task in tasks}
        self._opening = list(opening)

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        system = str(messages[0]["content"])
        script = next(script for key, script in self._scripts.items() if key in system)
        # Without solo mode the agent's greeting stands first, which it did not write itself.
        said = sum(message["role"] == "assistant" for message in messages)
        return [*self._opening, *script][said]


def key_of(task: Task) -> str:
    """What the system text of a task in solo mode has of its own: the ticket."""
    from tau2_play.scripts import official_task

    return str(official_task(task).ticket)


def said_message(said: Said) -> Message:
    calls = [call_of(call) for call in said.calls]
    return {"role": "assistant", "content": said.text or None, "tool_calls": calls or None}


def call_of(call: ToolCall) -> Message:
    return {"id": "x", "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
