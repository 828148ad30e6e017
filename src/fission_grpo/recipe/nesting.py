"""Nested settings: one level laid over another, and what two of them differ in."""

from collections.abc import Mapping
from typing import Any, cast

_WHOLE = ("train", "test")
"""Sources of tasks: a path and a generator cannot stand beside each other."""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of two levels, the second winning. Sections are merged key by key, sources of tasks replaced as a whole.

    >>> merged({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}})
    {'a': {'x': 1, 'y': 4}, 'b': 3}
    """
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict) and key not in _WHOLE
        result[key] = merged(cast(dict[str, Any], inner), cast(dict[str, Any], value)) if both else value
    return result


def differences(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The keys in which two nested mappings differ, dotted, with both values; None stands for a key that is not there.

    >>> differences({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}, "b": 4})
    {'a.y': (2, 3), 'b': (None, 4)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*first, *(key for key in second if key not in first)]:
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= differences(cast(Mapping[str, Any], one), cast(Mapping[str, Any], other), f"{prefix}{key}.")
        elif one != other:
            found[f"{prefix}{key}"] = (one, other)
    return found
