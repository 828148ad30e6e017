"""Reference calls, and how a model writes them in the two official message styles."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Style = Literal["qwen-fc", "prompting"]
STYLES: tuple[Style, ...] = ("qwen-fc", "prompting")

Row = Mapping[str, Any]
"""A task of the official data: `id`, `question`, `involved_classes`."""

Parameters = Mapping[str, Sequence[str]]
"""For every tool, its parameters in the order of its signature: positional reference arguments take their names from it."""


@dataclass(frozen=True)
class Call:
    name: str
    arguments: Mapping[str, Any]

    def changed(self, **arguments: Any) -> "Call":
        return Call(self.name, {**self.arguments, **arguments})

    def without(self, name: str) -> "Call":
        return Call(self.name, {key: value for key, value in self.arguments.items() if key != name})


def parse_call(text: str, parameters: Parameters) -> Call:
    """Reads a reference call such as `mv('a', destination='b')`.

    Raises:
        ValueError: if the text is no call of a plain name, or an argument is no literal.
    """
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"Not a call of a plain name: {text}")
    name = node.func.id
    arguments = {key: ast.literal_eval(value) for key, value in zip(parameters.get(name, ()), node.args, strict=False)}
    arguments |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    return Call(name, arguments)


def parse_turns(ground_truth: Sequence[Sequence[str]], parameters: Parameters) -> list[list[Call]]:
    return [[parse_call(text, parameters) for text in turn] for turn in ground_truth]


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def tagged(text: str) -> str:
    """A text as Qwen's chat template frames a call."""
    return f"<tool_call>\n{text}\n</tool_call>"


def fc_call(call: Call) -> str:
    return tagged(to_json({"name": call.name, "arguments": dict(call.arguments)}))


def python_call(call: Call) -> str:
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


def render(calls: Sequence[Call], style: Style) -> str:
    """One message that makes the calls, and nothing else."""
    if style == "qwen-fc":
        return "\n".join(fc_call(call) for call in calls)
    return f"[{', '.join(python_call(call) for call in calls)}]"


def choose(count: int, *key: object) -> int:
    """A number below `count` that depends on the key alone: the same on every machine and Python."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "big") % count
