"""`StepRow`: one assistant message as training data, with the dialogue before it, the tools offered and the reference calls.

It is what one row of a dataset says, in every layout (`tasks/layouts.py`). It holds no live state: `environments/steps.py`
derives rows from tasks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from fission_grpo.chat.schema import check_tools
from fission_grpo.chat.values import UNCARRIABLE, json_type
from fission_grpo.errors import UserError
from fission_grpo.tasks.rows import messages_of
from fission_grpo.tasks.task import Split
from fission_grpo.types import Message, Tool, ToolCall

ROLES = ("system", "developer", "user", "assistant", "tool")
TEXT_KEYS = ("name", "tool_call_id", "reasoning_content", "content")
"""What a message may hold between `role` and `tool_calls`, all of it text; parquet keeps keys in this order."""
_CALL_KEYS = {"id": str, "type": str, "function": dict}


def _read_messages(value: Any) -> Any:
    """Checks OpenAI chat messages; drops empty (null) keys, and reads arguments that are JSON text."""
    for place, message in enumerate(_list(value, "chat messages")):
        _check_message(message, f"message {place}")
    return messages_of({"prompt": value})


def _read_tools(value: Any) -> Any:
    tools = _list(_parsed(value), "function tools")
    try:
        _check_tools(json.dumps(tools))
    except UserError as error:
        raise ValueError(str(error)) from error
    return tools


def _read_calls(value: Any) -> Any:
    calls = _list(_parsed(value), 'calls, each {"name": ..., "arguments": {...}}')
    for place, call in enumerate(calls):
        _check_function(call, f"call {place}")
    return [{"name": call["name"], "arguments": _parsed(call["arguments"])} for call in calls]


NonNegative = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class StepRow:
    """One instance at step granularity: x and y* (docs/method.md, section 6), without the state.

    `STEP_ROW` checks what comes from a file; what our own code puts together is taken as it is.

    Attributes:
        id: unique in its file.
        messages: the dialogue up to the assistant message in question; arguments of calls are objects.
        tools: the tools offered there.
        reference: the right calls of that message; empty where nothing should be called.
        scenario: rows of one scenario belong together in a split and in an interval.
        source: the registered environment, or what a foreign file names as its data source.
        task, turn, step: where the message stands; of foreign rows, the row itself.
        tags: of the task.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    messages: Annotated[tuple[Message, ...], BeforeValidator(_read_messages), Field(min_length=1)]
    tools: Annotated[tuple[Tool, ...], BeforeValidator(_read_tools)]
    reference: Annotated[tuple[ToolCall, ...], BeforeValidator(_read_calls)]
    scenario: str
    source: str
    split: Split
    task: str
    turn: NonNegative = 0
    step: NonNegative = 0
    tags: tuple[str, ...] = ()


STEP_ROW = TypeAdapter(StepRow)
"""Checks rows, and brings them into their normal form."""


@lru_cache(256)  # rows of one class offer the same tools, and a schema takes milliseconds to check
def _check_tools(tools: str) -> None:
    check_tools(json.loads(tools))


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, Mapping):
        raise ValueError(f"{where}: found {json_type(message)}, expected a chat message")
    fields = {key: value for key, value in cast(Mapping[str, Any], message).items() if value is not None}
    if fields.get("role") not in ROLES:
        raise ValueError(f"{where}, role: found {fields.get('role')!r}, expected one of {', '.join(ROLES)}")
    for key, value in fields.items():
        if key == "tool_calls":
            for place, call in enumerate(_list(value, "tool calls")):
                _check_tool_call(call, f"{where}, tool call {place}")
        elif key in TEXT_KEYS:
            _check_text(value, f"{where}, {key}")
        elif key != "role":
            raise ValueError(f"{where}: found the key {key!r}, expected role, tool_calls, {', '.join(TEXT_KEYS)}")


def _check_text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{where}: found {json_type(value)}, expected text")
    if UNCARRIABLE.search(value):
        raise ValueError(f"{where}: found a NUL or half a surrogate pair, expected characters that a tokenizer can carry")


def _check_tool_call(call: Any, where: str) -> None:
    if not isinstance(call, Mapping):
        raise ValueError(f"{where}: found {json_type(call)}, expected an object")
    for key, value in cast(Mapping[str, Any], call).items():
        if value is not None and not isinstance(value, _CALL_KEYS.get(key, ())):
            raise ValueError(f"{where}: found {key!r} = {value!r}, expected id, type (both text) and function (an object)")
    _check_function(call.get("function"), where)


def _check_function(function: Any, where: str) -> None:
    if not isinstance(function, Mapping) or set(cast(Mapping[str, Any], function)) != {"name", "arguments"}:
        raise ValueError(f'{where}: found {function!r}, expected {{"name": ..., "arguments": {{...}}}}')
    if not isinstance(function["name"], str):
        raise ValueError(f"{where}, name: found {json_type(function['name'])}, expected text")
    arguments = _parsed(function["arguments"])
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{where}, arguments: found {json_type(arguments)}, expected an object")


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"found {json_type(value)}, expected a list of {what}")
    return list(cast(list[Any], value))


def _parsed(value: Any) -> Any:
    """What JSON text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"not readable as JSON: {error}") from error
