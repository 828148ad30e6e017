"""Function documents as bfcl-eval hands them to an OpenAI-compatible chat interface (its `convert_to_tool`)."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.types import Tool

_FLOAT_HINT = " This is a float type value."


def openai_tools(functions: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The tools of a request. Unlike `environments.bfcl.tools`, defaults written as text stay, and so does `response`."""
    return [{"type": "function", "function": _function(function)} for function in functions]


def _function(document: Mapping[str, Any]) -> dict[str, Any]:
    function = copy.deepcopy(dict(document))
    function["name"] = re.sub(r"\.", "_", function["name"])
    function["parameters"]["type"] = "object"
    _cast(function["parameters"]["properties"])
    return function


def _cast(properties: dict[str, dict[str, Any]]) -> None:
    """Gives every property its JSON type, in place."""
    types = _json_types()
    for schema in properties.values():
        declared = schema.get("type", "string")
        if declared == "float":
            schema["format"] = "float"
            schema["description"] += _FLOAT_HINT
        schema["type"] = types.get(declared, "string")
        if schema["type"] in ("array", "object"):
            _cast_nested(schema)


def _cast_nested(schema: dict[str, Any]) -> None:
    """Two levels of lists, and objects to any depth: what bfcl-eval supports."""
    types = _json_types()
    if "properties" in schema:
        _cast(schema["properties"])
    elif "items" in schema:
        items = schema["items"]
        items["type"] = types[items["type"]]
        if items["type"] == "array" and "items" in items:
            items["items"]["type"] = types[items["items"]["type"]]
        elif items["type"] == "object" and "properties" in items:
            _cast(items["properties"])


def _json_types() -> Mapping[str, str]:
    return package_module("constants.type_mappings").GORILLA_TO_OPENAPI
