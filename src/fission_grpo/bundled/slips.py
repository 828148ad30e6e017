"""Mistakes that a demonstration may hold, beside the careless calls that tasks know of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from fission_grpo.chat.parsing import render_calls
from fission_grpo.types import Tool, ToolCall


@dataclass(frozen=True)
class Slip:
    """A failed assistant message.

    Attributes:
        step: index of the reference message it comes before.
        text: what the assistant writes.
        learned: whether it is imitated; the first occurrence of a spoilt call is context only.
    """

    step: int
    text: str
    learned: bool


def spoil(step: int, calls: tuple[ToolCall, ...], tools: Sequence[Tool], generator: Random) -> Slip:
    """A slip made from reference calls: one of the ways in which small policies go wrong."""
    call = calls[0]
    way = generator.choice(_WAYS)
    return Slip(step, way(call, tools, generator), learned=False)


def _wrong_argument(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    """One text argument lacks its end; a call without text loses an argument or gains one."""
    texts = [name for name, value in call.arguments.items() if isinstance(value, str) and len(value) > 4]
    if not texts:
        return _wrong_parameter(call, tools, generator)
    name = generator.choice(texts)
    return render_calls([ToolCall(call.name, {**call.arguments, name: call.arguments[name][:-2]})])


def _wrong_tool(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    others = [tool["function"]["name"] for tool in tools if tool["function"]["name"] != call.name]
    return render_calls([ToolCall(generator.choice(others or [call.name]), call.arguments)])


def _wrong_parameter(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    arguments = dict(call.arguments)
    value = arguments.popitem()[1] if arguments else "all"
    return render_calls([ToolCall(call.name, {**arguments, generator.choice(("value", "input", "target")): value})])


def _unknown_tool(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    return render_calls([ToolCall(f"{generator.choice(('do', 'run', 'new'))}_{call.name}", call.arguments)])


def _unclosed(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    return render_calls([call]).removesuffix("\n</tool_call>")


def _broken_json(call: ToolCall, tools: Sequence[Tool], generator: Random) -> str:
    return render_calls([call]).replace("}\n", "\n", 1)


_WAYS: tuple[Callable[[ToolCall, Sequence[Tool], Random], str], ...] = (
    _wrong_argument,
    _wrong_argument,
    _wrong_tool,
    _wrong_parameter,
    _unknown_tool,
    _unclosed,
    _broken_json,
)
