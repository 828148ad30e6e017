"""A policy by script, a chat format of one token a character, and a small world of doors, for tests without a model."""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from fission_grpo.chat.parsing import parse_message, render_calls
from fission_grpo.errors import InfrastructureError
from fission_grpo.rollout.policy import Sampling
from fission_grpo.tasks.task import Careless, Task, Turn
from fission_grpo.types import Completion, Message, Snapshot, StopReason, Tool, ToolCall, ToolResult, Verdict

END = 0x110000
"""The id of the end token: no character."""


class CharacterChat:
    """One token a character; every message is a line `role: content`."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        names = ",".join(tool["function"]["name"] for tool in tools)
        return self.extend([*map(ord, f"tools: {names}")], messages)

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]:
        lines = [f"\n{message['role']}: {message['content']}" for message in messages]
        return [*ids, *map(ord, "".join(lines) + "\nassistant: ")]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(token) for token in ids if token != END)

    def assistant_message(self, text: str) -> Message:
        parsed = parse_message(text)
        functions = [{"name": call.name, "arguments": call.arguments} for call in parsed.calls]
        calls = {"tool_calls": [{"type": "function", "function": f} for f in functions]} if functions else {}
        return {"role": "assistant", "content": parsed.content, **calls}


class ScriptedPolicy:
    """Answers each context with what `reply` makes of its text. Remembers the contexts and samplings it was given."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        self.reply = reply
        self.prompts: list[tuple[int, ...]] = []
        self.samplings: list[Sampling] = []

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        self.prompts += [tuple(prompt) for prompt in prompts]
        self.samplings.append(sampling)
        return [self._complete(prompt, sampling.max_new_tokens) for prompt in prompts]

    def _complete(self, prompt: Sequence[int], limit: int) -> Completion:
        ids = [*map(ord, self.reply(CharacterChat().decode(prompt))), END]
        reason = StopReason.END if len(ids) <= limit else StopReason.LENGTH
        return Completion(tuple(ids[:limit]), (-1.0,) * min(len(ids), limit), reason)


def calling(*calls: tuple[str, dict[str, Any]]) -> str:
    """The text of a message that makes these calls."""
    return render_calls(ToolCall(name, arguments) for name, arguments in calls)


def _tool(name: str, **parameters: str) -> Tool:
    schema = {key: {"type": kind} for key, kind in parameters.items()}
    parameters_schema = {"type": "object", "properties": schema, "required": list(schema)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters_schema}}


class Doors:
    """A world of locked doors: `enter` errs until `unlock` was called. A turn is right when exactly the reference's doors
    were entered so far. A door called "fire" breaks the world itself."""

    def __init__(self, task: Task | None = None) -> None:
        self._task = task
        self._turn = 0
        self._unlocked = False
        self._entered: list[str] = []
        self._verdicts: list[bool] = []

    @property
    def tools(self) -> Sequence[Tool]:
        assert self._task is not None
        late = [_tool(name) for turn in self._task.turns[: self._turn + 1] for name in turn.new_tools]
        return [_tool("enter", door="string"), _tool("unlock"), *late]

    def reset(self, task: Task) -> list[Message]:
        self.__init__(task)
        if "broken" in task.tags:
            raise InfrastructureError("no doors today")
        return [{"role": "system", "content": "Doors."}, *task.turns[0].messages]

    def call(self, call: ToolCall) -> ToolResult:
        door = call.arguments.get("door")
        if door == "fire":
            raise InfrastructureError("the house burns")
        if call.name == "unlock":
            self._unlocked = True
            return ToolResult("None")
        if call.name != "enter":
            return ToolResult(f"Error during execution: no tool {call.name}", is_error=True)
        if not self._unlocked:
            return ToolResult('{"error": "the door is locked: unlock first"}', is_error=True)
        self._entered.append(str(door))
        return ToolResult(f'{{"entered": "{door}"}}')

    def next_user_turn(self) -> list[Message] | None:
        assert self._task is not None
        if self._turn >= len(self._task.turns):
            return None
        wanted = [call.arguments["door"] for call in self._reference() if call.name == "enter"]
        self._verdicts.append(sorted(self._entered) == sorted(wanted))
        self._turn += 1
        return list(self._task.turns[self._turn].messages) if self._turn < len(self._task.turns) else None

    def _reference(self) -> list[ToolCall]:
        assert self._task is not None
        return [call for turn in self._task.turns[: self._turn + 1] for call in turn.calls]

    def snapshot(self) -> Snapshot:
        return Snapshot(pickle.dumps(self.__dict__))

    def restore(self, snapshot: Snapshot) -> None:
        self.__dict__.update(pickle.loads(snapshot.data))

    def verdict(self) -> Verdict:
        assert self._task is not None
        finished = len(self._verdicts) == len(self._task.turns)
        return Verdict(finished and all(self._verdicts), tuple(self._verdicts))


UNLOCK = ("unlock", {})


def enter(door: str) -> tuple[str, dict[str, Any]]:
    return ("enter", {"door": door})


def door_task(index: int = 0, doors: Sequence[str] = ("red", "blue"), tags: Sequence[str] = ("hidden_hazard",)) -> Task:
    """One user turn a door; the first one needs the key, and a careless policy forgets it."""
    turns = []
    for place, door in enumerate(doors):
        unlock = ((ToolCall("unlock"),),) if place == 0 else ()
        turns.append(Turn(({"role": "user", "content": f"Enter {door}."},), (*unlock, (ToolCall(*enter(door)),))))
    careless = (Careless(0, 0, ToolCall(*enter(doors[0]))),)
    return Task(f"doors-{index}", f"house-{index // 2}", tuple(turns), tags=tuple(tags), careless=careless)


def last_line(context: str) -> str:
    """What was last said to the policy, with its role."""
    return context.rsplit("\n", 2)[-2]


def wanted_door(context: str) -> str:
    return context.rsplit("user: Enter ", 1)[1].split(".", 1)[0]


def careful(context: str) -> str:
    """Reads its errors: enters, unlocks where that fails, and enters again."""
    said = last_line(context)
    if "locked" in said:
        return calling(UNLOCK)
    if said.startswith("user:") or "None" in said:
        return calling(enter(wanted_door(context)))
    return "Done."


def stubborn(context: str) -> str:
    """Repeats the failed call once, then gives up."""
    errors = context.rsplit("user:", 1)[1].count("error")
    if last_line(context).startswith("user:") or errors == 1:
        return calling(enter(wanted_door(context)))
    return "Done."
