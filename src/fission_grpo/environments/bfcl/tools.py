"""BFCL's function documents as OpenAI JSON-schema function tools."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from fission_grpo.environments.bfcl.package import data_folder, package_module
from fission_grpo.types import Tool

_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def json_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """BFCL's dialect of JSON schema as JSON schema, recursively.

    `"default": "None"` stands for "absent" in the documents, so it is dropped rather than kept as a string.

    >>> json_schema({"type": "dict", "properties": {"n": {"type": "float", "default": "None"}}, "required": ["n"]})
    {'type': 'object', 'properties': {'n': {'type': 'number'}}, 'required': ['n']}
    """
    schema: dict[str, Any] = {}
    for key, value in document.items():
        if key == "type":
            json_type = _JSON_TYPES.get(value, value)
            if json_type is not None:
                schema["type"] = json_type
        elif key == "properties":
            schema["properties"] = {name: json_schema(child) for name, child in value.items()}
        elif key == "items":
            schema["items"] = json_schema(value)
        elif key == "description":
            schema["description"] = value.strip()
        elif not (key == "default" and value == "None"):
            schema[key] = value
    return schema


@cache
def class_tools(class_name: str) -> tuple[Tool, ...]:
    """The tools of one API class, in the order of its document. Shared: not to be changed.

    Raises:
        UserError: bfcl-eval is not installed.
    """
    files: Mapping[str, str] = package_module("constants.executable_backend_config").MULTI_TURN_FUNC_DOC_FILE_MAPPING
    text = (data_folder() / "multi_turn_func_doc" / files[class_name]).read_text(encoding="utf-8")
    return tuple(as_tool(json.loads(line)) for line in text.splitlines() if line.strip())


def as_tool(document: Mapping[str, Any]) -> Tool:
    """A function document as a tool; what it says of the function's response is left out."""
    function = {
        "name": document["name"],
        "description": document["description"].strip(),
        "parameters": json_schema(document["parameters"]),
    }
    return {"type": "function", "function": function}
