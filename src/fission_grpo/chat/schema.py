"""Calls and tools against JSON schemas: is the call valid, are the tools valid, and what do a call's arguments mean."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from fission_grpo.chat.arguments import ArgumentChecker, Schema, SchemaViolation, ViolationKind, is_plain, subschema
from fission_grpo.chat.parsing import TOOL_NAME
from fission_grpo.chat.values import canonical, json_type, quote
from fission_grpo.errors import UserError
from fission_grpo.types import Tool, ToolCall

__all__ = [
    "SchemaViolation",
    "ViolationKind",
    "canonical",
    "check_call",
    "check_tools",
    "normalise_arguments",
]


def check_call(call: ToolCall, tools: Sequence[Tool]) -> SchemaViolation | None:
    """The first way in which a call violates the schema of its tool, or None. The tools must have passed `check_tools`."""
    parameters = _parameters(call.name, tools)
    if parameters is None:
        return SchemaViolation(ViolationKind.UNKNOWN_TOOL, None, f"There is no tool named {quote(call.name)}.")
    try:
        return ArgumentChecker(call.name, parameters).check(call.arguments)
    except RecursionError:  # the parser bounds the depth; calls that an endpoint read have no bound
        detail = f"The arguments of {call.name} nest too deep."
        return SchemaViolation(ViolationKind.NOT_ALLOWED_VALUE, None, detail)


def check_tools(tools: Sequence[Tool]) -> None:
    """Checks that tools are OpenAI function tools with valid JSON schemas.

    Raises:
        UserError: naming the tool, the field, what was found and what is allowed.
    """
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        name = _check_function(index, tool)
        if name in seen:
            raise UserError(f"tool {name!r}, field function.name: two tools have this name; names must be unique")
        seen.add(name)
        _check_parameters(name, tool["function"].get("parameters", {}))


def normalise_arguments(call: ToolCall, tools: Sequence[Tool]) -> dict[str, Any]:
    """The call's arguments with schema defaults filled in and numbers in one form (`1.0` becomes `1`, `True` stays).

    Arguments of an unknown tool keep their keys. The call itself is not changed.
    """
    return cast(dict[str, Any], _normalise(call.arguments, _parameters(call.name, tools) or {}))


def _parameters(name: str, tools: Sequence[Tool]) -> Schema | None:
    for tool in tools:
        function = tool["function"]
        if function["name"] == name:
            return function.get("parameters") or {}
    return None


def _normalise(value: Any, schema: Schema) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        items = subschema(schema, "items")
        return [_normalise(item, items) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    given = cast(dict[str, Any], value)
    properties = subschema(schema, "properties")
    defaults = {name: sub["default"] for name in properties if "default" in (sub := subschema(properties, name))}
    return {key: _normalise(item, subschema(properties, key)) for key, item in {**defaults, **given}.items()}


def _check_function(index: int, tool: Any) -> str:
    """Checks the OpenAI shape around the schema and returns the tool's name."""
    outer = cast(Schema, tool if isinstance(tool, Mapping) else {})
    if not isinstance(outer.get("function"), Mapping) or outer.get("type") != "function":
        found = reprlib.repr(cast(object, tool))
        raise UserError(f'tools[{index}]: found {found}; a tool is {{"type": "function", "function": {{...}}}}')
    function = cast(Schema, outer["function"])
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise UserError(f'tools[{index}], field function.name: found {name!r}; allowed are letters, digits, "_", "-", "."')
    description = function.get("description", "")
    if not isinstance(description, str):
        raise UserError(f"tool {name!r}, field function.description: found {json_type(description)}; must be a string")
    return name


def _check_parameters(name: str, parameters: Any) -> None:
    if not isinstance(parameters, dict):
        raise UserError(f"tool {name!r}, field parameters: found {json_type(parameters)}; must be a JSON schema")
    schema = cast(dict[str, Any], parameters)
    if not schema:
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(["parameters", *(str(step) for step in error.absolute_path)])
        raise UserError(f"tool {name!r}, field {where}: {error.message}") from error
    if schema.get("type") != "object":
        raise UserError(f"tool {name!r}, field parameters.type: found {schema.get('type')!r}; must be 'object'")
    _check_required(name, schema)
    _check_references(name, schema)


def _check_required(name: str, schema: Schema) -> None:
    if not is_plain(schema) or schema.get("additionalProperties"):
        return
    for required in schema.get("required", ()):
        if required not in subschema(schema, "properties"):
            raise UserError(f"tool {name!r}, field parameters.required: {required!r} is not among the properties")


def _check_references(name: str, schema: dict[str, Any]) -> None:
    """Every `$ref` must resolve inside the schema: nothing is fetched."""
    resolver = Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            detail = f"$ref {reference!r} points nowhere inside the schema"
            raise UserError(f"tool {name!r}, field parameters: {detail}") from error


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in cast(dict[str, Any], schema).items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in cast(list[Any], schema):
            yield from _references(item)
