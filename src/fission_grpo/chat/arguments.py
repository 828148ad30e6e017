"""The arguments of a call against the JSON schema of its tool.

This runs on every call of every rollout, so the keywords that tools really use are checked here, in microseconds; a schema
that uses any other keyword (`anyOf`, `$ref`, `minimum`, ...) is left to the `jsonschema` library.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from fission_grpo.chat.values import canonical, json_type, quote

Schema = Mapping[str, Any]


class ViolationKind(StrEnum):
    """In which way a call violates the schema of its tool."""

    UNKNOWN_TOOL = "unknown_tool"
    """No tool has that name."""
    MISSING_PARAMETER = "missing_parameter"
    """A required parameter (or property of one) is not given."""
    UNEXPECTED_PARAMETER = "unexpected_parameter"
    """The tool has no such parameter. A tool takes others only where its schema says `additionalProperties`."""
    WRONG_TYPE = "wrong_type"
    """A value has another JSON type than the schema says."""
    NOT_ALLOWED_VALUE = "not_allowed_value"
    """A value has the right type but is outside an enumeration, range or pattern."""


@dataclass(frozen=True)
class SchemaViolation:
    """What a call got wrong. It names the place, never a value that would be right.

    Attributes:
        parameter: the path to the value at fault (`city`, `order.items[2].price`); None for an unknown tool.
        detail: one sentence for a reader and for the policy.
    """

    kind: ViolationKind
    parameter: str | None
    detail: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    # JSON Schema counts 1.0 among the integers.
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_IS_TYPE: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}

_ARTICLE = {
    **{name: f"a {name}" for name in ("string", "number", "boolean")},
    **{name: f"an {name}" for name in ("integer", "array", "object")},
    "null": "null",
}

_CHECKED_HERE = {"type", "enum", "properties", "required", "items", "additionalProperties"}
_ANNOTATIONS = {
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format"),
    *("$schema", "$comment", "$defs", "definitions"),
}
_PLAIN = frozenset(_CHECKED_HERE | _ANNOTATIONS)


def is_plain(schema: Any) -> bool:
    """Whether this level of a schema (not what is below) uses only keywords that are checked here."""
    if not isinstance(schema, Mapping):
        return False
    keywords = cast(Schema, schema)
    return (
        keywords.keys() <= _PLAIN
        and isinstance(keywords.get("additionalProperties", True), bool)
        and isinstance(keywords.get("items", {}), Mapping)
    )


@dataclass(frozen=True)
class ArgumentChecker:
    """Checks the arguments of one call; `root` is where `$ref` is resolved."""

    tool: str
    root: Schema

    def check(self, arguments: dict[str, Any]) -> SchemaViolation | None:
        closed = "additionalProperties" not in self.root
        if is_plain(self.root):
            return self._check_plain(arguments, {**self.root, "additionalProperties": False} if closed else self.root, "")
        # `unevaluatedProperties` also knows the properties that `allOf`, `anyOf` or `$ref` declare.
        return self._check_by_library(arguments, {"unevaluatedProperties": False, **self.root} if closed else self.root, "")

    def _check(self, value: Any, schema: Any, path: str) -> SchemaViolation | None:
        check = self._check_plain if is_plain(schema) else self._check_by_library
        return check(value, schema, path)

    def _check_plain(self, value: Any, schema: Schema, path: str) -> SchemaViolation | None:
        if "type" in schema and (violation := self._check_type(value, schema["type"], path)):
            return violation
        if "enum" in schema and canonical(value) not in {canonical(allowed) for allowed in schema["enum"]}:
            return self._not_allowed(path)
        if isinstance(value, dict):
            return self._check_properties(cast(dict[str, Any], value), schema, path)
        if isinstance(value, list) and "items" in schema:
            items = enumerate(cast(list[Any], value))
            return _first(self._check(item, schema["items"], f"{path}[{index}]") for index, item in items)
        return None

    def _check_type(self, value: Any, expected: str | list[str], path: str) -> SchemaViolation | None:
        types = [expected] if isinstance(expected, str) else expected
        if any(_IS_TYPE[name](value) for name in types):
            return None
        wanted = " or ".join(_ARTICLE[name] for name in types)
        return self._wrong_type(path, f"must be {wanted}, not {json_type(value)}")

    def _check_properties(self, value: dict[str, Any], schema: Schema, path: str) -> SchemaViolation | None:
        properties = subschema(schema, "properties")
        for name in schema.get("required", ()):
            if name not in value:
                return self._missing(_join(path, name))
        if schema.get("additionalProperties") is False:
            for name in value:
                if name not in properties:
                    return self._unexpected(_join(path, name))
        return _first(
            self._check(item, properties[name], _join(path, name)) for name, item in value.items() if name in properties
        )

    def _check_by_library(self, value: Any, schema: Any, path: str) -> SchemaViolation | None:
        # An empty registry: a `$ref` never makes the library open a URL.
        root: Any = Draft202012Validator(self.root, registry=Registry())
        error: ValidationError | None = next(root.evolve(schema=schema).iter_errors(value), None)
        return None if error is None else self._translate(error, path)

    def _translate(self, error: ValidationError, path: str) -> SchemaViolation:
        for step in error.absolute_path:
            path = f"{path}[{step}]" if isinstance(step, int) else _join(path, step)
        instance: Any = error.instance
        alternatives = cast(list[ValidationError], error.context or ())
        match str(error.validator):
            case "required":
                required = cast(list[str], error.validator_value)
                return self._missing(_join(path, next(name for name in required if name not in instance)))
            case "additionalProperties" | "unevaluatedProperties":
                extra = [name for name in instance if name not in subschema(cast(Schema, error.schema), "properties")]
                return self._unexpected(_join(path, extra[0]) if len(extra) == 1 else path)
            case "type":
                return self._wrong_type(path, f"must not be {json_type(instance)}")
            case "anyOf" | "oneOf" if alternatives and all(other.validator == "type" for other in alternatives):
                return self._wrong_type(path, f"must not be {json_type(instance)}")
            case _:
                return self._not_allowed(path)

    def _missing(self, path: str) -> SchemaViolation:
        detail = f"The call of {self.tool} lacks the required parameter {quote(path)}."
        return SchemaViolation(ViolationKind.MISSING_PARAMETER, path, detail)

    def _unexpected(self, path: str) -> SchemaViolation:
        which = f"no parameter {quote(path)}" if path else "not all of the given parameters"
        return SchemaViolation(ViolationKind.UNEXPECTED_PARAMETER, path or None, f"The tool {self.tool} has {which}.")

    def _wrong_type(self, path: str, what: str) -> SchemaViolation:
        detail = f"The parameter {quote(path)} of {self.tool} {what}."
        return SchemaViolation(ViolationKind.WRONG_TYPE, path, detail)

    def _not_allowed(self, path: str) -> SchemaViolation:
        # The allowed values stand in the schema; repeating them here could tell the answer.
        which = f"value of the parameter {quote(path)}" if path else "combination of parameters"
        detail = f"The {which} of {self.tool} is not one that its schema allows."
        return SchemaViolation(ViolationKind.NOT_ALLOWED_VALUE, path or None, detail)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _first(violations: Iterable[SchemaViolation | None]) -> SchemaViolation | None:
    return next((violation for violation in violations if violation is not None), None)


def subschema(schema: Schema, key: str) -> Schema:
    """The schema under a key; `{}`, which says nothing, where there is none or it is `true` or `false`."""
    found = schema.get(key)
    return cast(Schema, found) if isinstance(found, Mapping) else {}
