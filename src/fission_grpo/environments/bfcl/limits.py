"""Arguments that would hang the process or fill its memory, refused before the real API method sees them.

A guard returns the text of the refusal, or None. Everything it lets through behaves exactly as in bfcl-eval.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_PRECISION = 10_000
"""Digits of `square_root` and `logarithm`: some milliseconds. Ten million digits took minutes."""
MAX_PATHS = 20_000
"""Paths of a file system, counted with multiplicity: `cp` of folders shares their contents, so paths can double."""
MAX_TREE_CHARACTERS = 10_000_000
"""Of all paths and file contents together, counted likewise: `find` writes out the former, `du` encodes the latter."""
MAX_DEPTH = 100
"""Folders inside folders: pickle and comparison recurse."""

# What Python itself answers when a result of more digits is turned into text, which is what bfcl-eval would do with it.
_TOO_MANY_DIGITS = (
    "Exceeds the limit (4300 digits) for integer string conversion; use sys.set_int_max_str_digits() to increase the limit"
)
_BITS_OF_4300_DIGITS = 14_285
_LONG_EXPONENT = re.compile(r"[eE][+-]?_*(?:\d_*){5}")  # Python reads `1_0` as ten

Guard = Callable[[Any, Mapping[str, Any]], str | None]
"""(instance, arguments) -> refusal."""


def _precision(_: Any, arguments: Mapping[str, Any]) -> str | None:
    try:
        precision = int(arguments.get("precision", 0))
    except (TypeError, ValueError, OverflowError):
        return None  # the API's own error follows
    if abs(precision) > MAX_PRECISION:
        return f"precision must be at most {MAX_PRECISION}"
    # mpmath reads numbers from text and would write out all digits of "1e999999999".
    texts = [value for key in ("value", "base", "number") if isinstance(value := arguments.get(key), str)]
    if any(len(text) > MAX_PRECISION or _LONG_EXPONENT.search(text) for text in texts):
        return "number out of range"
    return None


def _power(_: Any, arguments: Mapping[str, Any]) -> str | None:
    base, exponent = arguments.get("base"), arguments.get("exponent")
    if not isinstance(base, int) or not isinstance(exponent, int):
        return None
    too_long = (base.bit_length() - 1) * exponent > _BITS_OF_4300_DIGITS
    return _TOO_MANY_DIGITS if too_long else None


def _round(_: Any, arguments: Mapping[str, Any]) -> str | None:
    places = arguments.get("decimal_places")
    if isinstance(places, int) and places < -MAX_PRECISION:
        return f"decimal_places must be at least -{MAX_PRECISION}"
    return None


def _tree(instance: Any, _: Mapping[str, Any]) -> str | None:
    """Bounded walk over all paths below the root; a folder copied into itself has endlessly many."""
    paths = characters = 0
    stack: list[tuple[Any, int, int]] = [(instance.root, 0, 0)]
    while stack:
        item, depth, path = stack.pop()
        contents: Mapping[str, Any] | None = getattr(item, "contents", None)
        if contents is None:
            characters += _length(item.content)
        else:
            paths += len(contents)
            characters += path * len(contents) + sum(map(_length, contents))
            stack.extend((child, depth + 1, path + _length(name) + 1) for name, child in contents.items())
        if paths > MAX_PATHS or depth > MAX_DEPTH or characters > MAX_TREE_CHARACTERS:
            return "file system too large"
    return None


def _length(text: Any) -> int:
    """Of a text; the API takes contents that are none."""
    return len(text) if isinstance(text, str) else 0


def _depth(instance: Any, _: Mapping[str, Any]) -> str | None:
    folder, depth = instance._current_dir, 0
    while folder is not None and depth <= MAX_DEPTH:
        folder, depth = folder.parent, depth + 1
    return "file system too deep" if depth > MAX_DEPTH else None


GUARDS: Mapping[tuple[str, str], Guard] = {
    ("MathAPI", "logarithm"): _precision,
    ("MathAPI", "square_root"): _precision,
    ("MathAPI", "power"): _power,
    ("MathAPI", "round_number"): _round,
    ("GorillaFileSystem", "cp"): _tree,
    ("GorillaFileSystem", "mv"): _tree,
    ("GorillaFileSystem", "find"): _tree,
    ("GorillaFileSystem", "du"): _tree,
    ("GorillaFileSystem", "mkdir"): _depth,
}
