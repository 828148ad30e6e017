"""Typed Python functions as tools: JSON schema from signature and docstring, and JSON arguments as Python values."""

import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin

from fission_grpo.errors import UserError
from fission_grpo.types import Tool

STATE_PARAMETER = "state"
"""A first parameter of this name receives the environment's state and is not shown to the policy."""

_PLAIN_TYPES: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_ALLOWED = "str, int, float, bool, list[...], dict[str, ...], Literal[...], Optional[...] and enums"
_SECTION = re.compile(r"^(args|arguments|parameters|returns?|raises|yields?|examples?|notes?):\s*$", re.IGNORECASE)
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")

Convert = Callable[[Any], Any]


class _Unsupported(Exception):
    """A type hint that has no JSON schema here."""


@dataclass(frozen=True)
class FunctionTool:
    """A function with its tool.

    Attributes:
        takes_state: whether the state is its first argument.
        converters: by parameter, how the JSON value becomes what the hint says (enum members, integers sent as `1.0`).
    """

    function: Callable[..., Any]
    tool: Tool
    takes_state: bool
    converters: Mapping[str, Convert]

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(self, state: Any, arguments: Mapping[str, Any]) -> Any:
        """Calls the function with arguments that have passed the tool's schema."""
        values = {name: self.converters[name](value) for name, value in arguments.items()}
        return self.function(state, **values) if self.takes_state else self.function(**values)


def function_tool(function: Callable[..., Any]) -> FunctionTool:
    """Makes a tool of a function.

    Raises:
        UserError: a parameter has no type hint, or one without a JSON form: names function and parameter. Or the function
            is a coroutine, which nobody would wait for.
    """
    if inspect.iscoroutinefunction(function):
        raise UserError(f"function {function.__name__}: `async def` found, `def` is allowed: a call is over when it returns")
    parameters = list(inspect.signature(function).parameters.values())
    takes_state = bool(parameters) and parameters[0].name == STATE_PARAMETER
    shown = parameters[1:] if takes_state else parameters
    hints = _hints(function)
    description, explanations = _read_docstring(inspect.getdoc(function) or "")
    properties: dict[str, Any] = {}
    converters: dict[str, Convert] = {}
    for parameter in shown:
        schema, converters[parameter.name] = _parameter_schema(function, parameter, hints)
        if explanation := explanations.get(parameter.name):
            schema["description"] = explanation
        properties[parameter.name] = schema
    required = [parameter.name for parameter in shown if parameter.default is parameter.empty]
    schema = {"type": "object", "properties": properties, "required": required}
    tool = {"type": "function", "function": {"name": function.__name__, "description": description, "parameters": schema}}
    return FunctionTool(function, tool, takes_state, converters)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise UserError(f"function {function.__name__}: its type hints name {error.name!r}, which is not defined") from error


def _parameter_schema(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any]
) -> tuple[dict[str, Any], Convert]:
    where = f"function {function.__name__}, parameter {parameter.name}"
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise UserError(f"{where}: is {parameter.kind.description}; tools are called by name")
    if parameter.name not in hints:
        raise UserError(f"{where}: has no type hint; allowed: {_ALLOWED}")
    try:
        schema, convert = _schema(hints[parameter.name])
    except _Unsupported as error:
        raise UserError(f"{where}: type {error} has no JSON form; allowed: {_ALLOWED}") from error
    if parameter.default is not parameter.empty:
        default = parameter.default.value if isinstance(parameter.default, enum.Enum) else parameter.default
        if _is_json(default):
            schema["default"] = default
    return schema, convert


def _schema(hint: Any) -> tuple[dict[str, Any], Convert]:
    """The JSON schema of a type, and how a value that satisfies it becomes a value of the type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is int:
        return {"type": "integer"}, int  # JSON schema counts 1.0 among the integers
    if hint in _PLAIN_TYPES:
        return {"type": _PLAIN_TYPES[hint]}, _unchanged
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enumeration([member.value for member in hint]), cast(Convert, hint)
    if origin is Literal:
        return _enumeration(list(arguments)), _unchanged
    if hint is list or origin is list:
        return _array(arguments)
    if hint is dict or origin is dict:
        return _object(arguments)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    raise _Unsupported(getattr(hint, "__name__", None) or str(hint))


def _enumeration(values: list[Any]) -> dict[str, Any]:
    names = sorted({_PLAIN_TYPES.get(type(value), "") for value in values})
    if "" in names:
        raise _Unsupported(f"with the values {values}")
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _array(arguments: tuple[Any, ...]) -> tuple[dict[str, Any], Convert]:
    if not arguments:
        return {"type": "array"}, _unchanged
    schema, convert = _schema(arguments[0])
    return {"type": "array", "items": schema}, lambda values: [convert(value) for value in values]


def _object(arguments: tuple[Any, ...]) -> tuple[dict[str, Any], Convert]:
    if not arguments:
        return {"type": "object"}, _unchanged
    if arguments[0] is not str:
        raise _Unsupported("dict with keys other than str")
    schema, convert = _schema(arguments[1])
    object_schema = {"type": "object", "additionalProperties": schema}
    return object_schema, lambda values: {key: convert(value) for key, value in values.items()}


def _union(members: tuple[Any, ...]) -> tuple[dict[str, Any], Convert]:
    """`T | None`, or a union of plain types. Others would leave open what a value is meant to be."""
    others = [member for member in members if member is not type(None)]
    if len(others) == 1:
        schema, convert = _schema(others[0])
        schema["type"] = [schema["type"], "null"] if isinstance(schema["type"], str) else [*schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return schema, lambda value: None if value is None else convert(value)
    if any(member not in _PLAIN_TYPES for member in members):
        raise _Unsupported(" | ".join(getattr(member, "__name__", str(member)) for member in members))
    return {"type": [_PLAIN_TYPES[member] for member in members]}, _unchanged


def _unchanged(value: Any) -> Any:
    return value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and the explanations of a Google style `Args:` section by parameter.

    >>> _read_docstring("Moves a file.\\n\\nArgs:\\n    source: what to move,\\n        by name.\\nReturns:\\n    None")
    ('Moves a file.', {'source': 'what to move, by name.'})
    """
    sections: dict[str, list[str]] = {"": []}
    current = sections[""]
    for line in text.splitlines():
        if match := _SECTION.match(line):
            current = sections.setdefault(match.group(1).lower(), [])
        else:
            current.append(line)
    lines = next((sections[name] for name in ("args", "arguments", "parameters") if name in sections), cast(list[str], []))
    return "\n".join(sections[""]).strip(), _explanations(lines)


def _explanations(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    indent: int | None = None
    name = ""
    for line in lines:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        match = _ARGUMENT.match(line.strip()) if depth <= indent else None
        if match:
            name = match.group(1)
            found[name] = match.group(2).strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
