"""Calls and tools against JSON schemas: parity with the jsonschema library, and what the rewards compare."""

import copy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fission_grpo.chat import ViolationKind as Kind
from fission_grpo.chat import canonical, check_call, check_tools, normalise_arguments
from fission_grpo.errors import UserError
from fission_grpo.types import Tool, ToolCall


def tool(name: str = "f", **parameters: Any) -> Tool:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", **parameters}}}


def check(arguments: dict[str, Any], **parameters: Any) -> tuple[Kind, str | None] | None:
    tools = [tool("other"), tool(**parameters)]
    check_tools(tools)
    violation = check_call(ToolCall("f", arguments), tools)
    if violation is None:
        return None
    assert violation.detail.endswith(".") and (not violation.parameter or violation.parameter in violation.detail)
    return violation.kind, violation.parameter


ITEM = {
    "type": "object",
    "properties": {"price": {"type": "number"}, "size": {"enum": ["S", "M", 1]}},
    "required": ["price"],
    "additionalProperties": False,
}
SHOP: dict[str, Any] = {
    "properties": {
        "city": {"type": "string", "description": "Where."},
        "count": {"type": ["integer", "null"]},
        "items": {"type": "array", "items": ITEM},
        "open": {"type": "object"},
        "limit": {"type": "integer", "minimum": 1},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "place": {"$ref": "#/$defs/place"},
    },
    "required": ["city"],
    "$defs": {"place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]}},
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"city": "Rom"}, None),
        ({"city": "Rom", "count": None, "open": {"any": [True]}, "note": None, "limit": 1, "place": {"lat": 0}}, None),
        ({"city": "Rom", "count": 2.0, "items": [{"price": 1}, {"price": 1.5, "size": 1.0}]}, None),
        ({}, (Kind.MISSING_PARAMETER, "city")),
        ({"city": "Rom", "town": "Rom"}, (Kind.UNEXPECTED_PARAMETER, "town")),
        ({"city": 1}, (Kind.WRONG_TYPE, "city")),
        ({"city": None}, (Kind.WRONG_TYPE, "city")),
        ({"city": "Rom", "count": True}, (Kind.WRONG_TYPE, "count")),
        ({"city": "Rom", "count": 1.5}, (Kind.WRONG_TYPE, "count")),
        ({"city": "Rom", "items": {"price": 1}}, (Kind.WRONG_TYPE, "items")),
        ({"city": "Rom", "items": [{"price": 1}, {}]}, (Kind.MISSING_PARAMETER, "items[1].price")),
        ({"city": "Rom", "items": [{"price": "1"}]}, (Kind.WRONG_TYPE, "items[0].price")),
        ({"city": "Rom", "items": [{"price": 1, "size": True}]}, (Kind.NOT_ALLOWED_VALUE, "items[0].size")),
        ({"city": "Rom", "items": [{"price": 1, "colour": 2}]}, (Kind.UNEXPECTED_PARAMETER, "items[0].colour")),
        ({"city": "Rom", "limit": 0}, (Kind.NOT_ALLOWED_VALUE, "limit")),
        ({"city": "Rom", "limit": "1"}, (Kind.WRONG_TYPE, "limit")),
        ({"city": "Rom", "note": 3}, (Kind.WRONG_TYPE, "note")),
        ({"city": "Rom", "place": {}}, (Kind.MISSING_PARAMETER, "place.lat")),
        ({"city": "Rom", "place": {"lat": "N"}}, (Kind.WRONG_TYPE, "place.lat")),
    ],
)
def test_each_violation_is_named_with_its_place(arguments: dict[str, Any], expected: tuple[Kind, str] | None) -> None:
    assert check(arguments, **SHOP) == expected


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, (Kind.UNEXPECTED_PARAMETER, "b")),
        ({"additionalProperties": True}, None),
        ({"additionalProperties": {"type": "string"}}, (Kind.WRONG_TYPE, "b")),
        ({"allOf": [{"properties": {"b": {"type": "integer"}}}]}, None),
        ({"allOf": [{"properties": {"c": {"type": "integer"}}}]}, (Kind.UNEXPECTED_PARAMETER, "b")),
        ({"maxProperties": 1, "additionalProperties": True}, (Kind.NOT_ALLOWED_VALUE, None)),
    ],
)
def test_a_tool_takes_other_parameters_only_where_it_says_so(
    extra: dict[str, Any], expected: tuple[Kind, str] | None
) -> None:
    assert check({"a": 1, "b": 2}, properties={"a": {"type": "integer"}}, **extra) == expected


def test_unknown_tools_are_reported_without_the_names_that_exist() -> None:
    violation = check_call(ToolCall("move_files"), [tool("move_file"), tool("mv")])
    assert violation is not None and violation.kind == Kind.UNKNOWN_TOOL and violation.parameter is None
    assert "move_files" in violation.detail and "mv" not in violation.detail and '"move_file"' not in violation.detail


def test_a_tool_without_parameters_takes_none() -> None:
    bare: Tool = {"type": "function", "function": {"name": "f"}}
    check_tools([bare])
    assert check_call(ToolCall("f"), [bare]) is None
    violation = check_call(ToolCall("f", {"a": 1}), [bare])
    assert violation is not None and violation.kind == Kind.UNEXPECTED_PARAMETER


scalars = st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, 1.5, "", "a"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])


def schema_around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "items": inner,
        "properties": st.dictionaries(st.sampled_from("ab"), inner),
        "required": st.lists(st.sampled_from("ab"), unique=True),
        "additionalProperties": st.booleans() | inner,
        "minimum": st.just(1),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
    }
    return st.fixed_dictionaries({}, optional=fields)


schemas = st.recursive(st.booleans() | schema_around(st.booleans()), schema_around, max_leaves=4)


@given(properties=st.dictionaries(st.sampled_from("ab"), schemas, min_size=1), arguments=st.data())
@settings(max_examples=150, deadline=None)
def test_verdicts_are_those_of_the_jsonschema_library(properties: dict[str, Any], arguments: Any) -> None:
    given_arguments = {name: arguments.draw(values) for name in properties}
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": sorted(properties)}
    expected = Draft202012Validator({**parameters, "additionalProperties": False}).is_valid(given_arguments)
    assert (check_call(ToolCall("f", given_arguments), [tool(**parameters)]) is None) == expected


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{"name": "f", "parameters": {}}], r"tools\[0\]: found"),
        (["ls"], r"tools\[0\]: found 'ls'"),
        ([tool("a"), tool("")], r"tools\[1\], field function.name: found ''"),
        ([tool("rm -rf")], "field function.name: found 'rm -rf'"),
        ([tool("a"), tool("a")], "tool 'a', field function.name: two tools"),
        (
            [{"type": "function", "function": {"name": "f", "description": 3}}],
            "tool 'f', field function.description: found an integer",
        ),
        ([{"type": "function", "function": {"name": "f", "parameters": []}}], "tool 'f', field parameters: found an array"),
        ([tool(properties={"a": {"type": "float"}})], "tool 'f', field parameters.properties.a.type: 'float'"),
        ([tool(properties={"a": {"enum": "x"}})], "tool 'f', field parameters.properties.a.enum: "),
        ([tool(type="array")], "tool 'f', field parameters.type: found 'array'; must be 'object'"),
        ([tool(properties={"a": {}}, required=["b"])], "tool 'f', field parameters.required: 'b'"),
        ([tool(properties={"a": {"$ref": "#/$defs/x"}})], r"tool 'f', field parameters: \$ref '#/\$defs/x' points nowhere"),
        ([tool(properties={"a": {"$ref": "https://example.com/x"}})], "points nowhere"),
    ],
)
def test_invalid_tools_are_a_users_error(tools: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_tools(tools)


def test_defaults_are_filled_in_and_numbers_have_one_form() -> None:
    tools = [
        tool(
            properties={
                "a": {"type": "integer", "default": 3},
                "b": {"default": ["x"]},
                "c": {"type": "array", "items": {"type": "object", "properties": {"d": {"default": None}}}},
            }
        )
    ]
    before = copy.deepcopy(tools)
    call = ToolCall("f", {"a": 1.0, "c": [{"e": 2.0}, {"d": True}], "z": 1.5})
    filled = normalise_arguments(call, tools)
    assert filled == {"a": 1, "b": ["x"], "c": [{"d": None, "e": 2}, {"d": True}], "z": 1.5}
    assert type(filled["a"]) is int and filled["c"][1]["d"] is True
    filled["b"].append("y")
    assert tools == before and call.arguments["a"] == 1.0
    assert normalise_arguments(ToolCall("g", {"a": 1.0}), tools) == {"a": 1}


@settings(deadline=None)
@given(value=values, other=values)
def test_canonical_forms_are_equal_exactly_where_the_json_is(value: Any, other: Any) -> None:
    # JSON Schema's `const` is an independent definition of equality: 1 equals 1.0, True does not equal 1.
    same = Draft202012Validator({"const": value}).is_valid(other)
    assert (canonical(value) == canonical(other)) == same
    assert not same or hash(canonical(value)) == hash(canonical(other))


@settings(deadline=None)
@given(value=values)
def test_canonical_ignores_the_order_of_keys_and_keeps_that_of_lists(value: Any) -> None:
    assert canonical({"a": value, "b": 1}) == canonical({"b": 1.0, "a": value})
    assume(canonical(value) != canonical(0))
    assert canonical([value, 0]) != canonical([0, value])


def test_canonical_refuses_what_is_not_json() -> None:
    with pytest.raises(TypeError, match="set is not a JSON type"):
        canonical({"a": {1}})
