"""JSON values: what they are called, and when two of them are the same."""

import json
import re
from collections.abc import Hashable, Sequence
from typing import Any, cast

UNCARRIABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: characters that no chat template or tokenizer can carry."""


def canonical(value: Any) -> Hashable:
    """A hashable stand-in for a JSON value: two values are the same JSON exactly when theirs are equal.

    >>> canonical([1, {"a": 2.0}]) == canonical([1.0, {"a": 2}])
    True
    >>> canonical(True) == canonical(1)
    False

    Raises:
        TypeError: the value is no JSON value.
    """
    match value:
        case bool():
            return ("boolean", value)
        case None | str() | int() | float():
            return value
        case list() | tuple():
            return ("array", tuple(canonical(item) for item in cast(Sequence[Any], value)))
        case dict():
            items = cast(dict[str, Any], value).items()
            return ("object", frozenset((key, canonical(item)) for key, item in items))
        case _:
            raise TypeError(f"{type(value).__name__} is not a JSON type")


def json_type(value: Any) -> str:
    """The JSON type of a value with its article, for sentences.

    >>> json_type([True])
    'an array'
    """
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def quote(text: str, limit: int = 40) -> str:
    """A short quotation of a model's text, which any chat template can carry."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return json.dumps(UNCARRIABLE.sub("\ufffd", short), ensure_ascii=False)
