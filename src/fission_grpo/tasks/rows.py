"""Dataset rows <-> chat messages and tools.

Arrow gives all dicts of a column the union of their keys, filled with None, so tool-call arguments and tool schemas cannot
stand in it as they are. Arguments travel as JSON text (as in OpenAI's own format) and the tools of a row as one JSON text;
`messages_of` and `tools_of` also read rows that were built otherwise.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from fission_grpo.chat.schema import check_tools
from fission_grpo.errors import UserError
from fission_grpo.types import Message, Tool, ToolCall


def arrow_messages(messages: Sequence[Message]) -> list[Message]:
    """Messages as a `datasets` column can hold them."""
    return [_with_arguments(message, _as_text) for message in messages]


def messages_of(row: Mapping[str, Any]) -> list[Message]:
    """The `prompt` of a row as chat messages: Arrow's None fillings dropped (of calls too), arguments read from JSON text.

    >>> messages_of({"prompt": [{"role": "user", "content": "hi", "tool_calls": None}]})
    [{'role': 'user', 'content': 'hi'}]
    """
    prompt = cast(Sequence[Message], row["prompt"])
    kept = [{key: value for key, value in message.items() if value is not None} for message in prompt]
    return [_with_arguments(message, _as_object) for message in kept]


def tools_of(row: Mapping[str, Any]) -> list[Tool]:
    """The `tools` of a row, given as JSON text or as a list; none where the column is missing.

    >>> tools_of({"prompt": []})
    []
    """
    tools = row.get("tools")
    if not tools:
        return []
    return json.loads(tools) if isinstance(tools, str) else [_without_none(tool) for tool in tools]


def check_tools_of(rows: Iterable[Mapping[str, Any]]) -> None:
    """Checks the `tools` of all rows, each distinct list once.

    Raises:
        UserError: they are not JSON, or hold an invalid schema; names row, tool and field.
    """
    seen: set[str] = set()
    for number, row in enumerate(rows):
        tools = row["tools"]
        text = tools if isinstance(tools, str) else json.dumps(tools)
        if text in seen:
            continue
        seen.add(text)
        try:
            check_tools(tools_of(row))
        except json.JSONDecodeError as error:
            raise UserError(f"train_dataset, row {number}, column tools: not readable as JSON ({error})") from error
        except UserError as error:
            raise UserError(f"train_dataset, row {number}, column tools: {error}") from error


def check_references_of(rows: Iterable[Mapping[str, Any]]) -> None:
    """Checks the `reference` of all rows.

    Raises:
        UserError: one is no list of calls, nor JSON text of one; names the row.
    """
    for number, row in enumerate(rows):
        try:
            reference_of(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"train_dataset, row {number}, column reference: {row['reference']!r} found, a list of "
                '{"name": ..., "arguments": {...}} is allowed, or its JSON text'
            ) from error


def reference_of(row: Mapping[str, Any]) -> tuple[ToolCall, ...] | None:
    """The `reference` calls of a row, given as JSON text or as a list of `{"name", "arguments"}`; None where unknown."""
    reference = row.get("reference")
    if reference is None:
        return None
    calls = json.loads(reference) if isinstance(reference, str) else reference
    if not isinstance(calls, list):
        raise TypeError(f"a list of calls is needed, {calls!r} found")
    return tuple(ToolCall(call["name"], _arguments(call["arguments"])) for call in calls)


def _arguments(value: Any) -> dict[str, Any]:
    return json.loads(value) if isinstance(value, str) else _without_none(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_object(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _with_arguments(message: Message, convert: Callable[[Any], Any]) -> Message:
    if not message.get("tool_calls"):
        return dict(message)
    calls = [
        {
            **{key: value for key, value in call.items() if value is not None},
            "function": {**call["function"], "arguments": convert(call["function"]["arguments"])},
        }
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_none(each) for each in cast(list[Any], value)]
    return value
