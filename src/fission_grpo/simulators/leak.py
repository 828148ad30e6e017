"""The leak guard: does a feedback give the answer away? (docs/method.md, section 4)

A feedback leaks when it *binds a reference value to its parameter*, or *names a reference tool* that the failed message did
not call, unless that very string is in the environment's own error text.

**Naming a tool**: its name stands in the feedback as a word of its own, in any case, its parts joined by anything or nothing
(`get_user_id`, `getUserId`, `get user id`).

**Binding.** An *anchor* of a parameter is its name, the name of its tool, or the value that the failed message passed to it
instead. A reference value is bound

- *explicitly*, when between anchor and value, in either order, stand only connecting words and signs: `folder=docs`,
  `"folder": "docs"`, `folder should be docs`, `use docs for the folder`, `3 instead of 5`, `cd('docs')`;
- *by nearness*, when an anchor stands within `NEARNESS` characters of it: `the folder you want is called docs`;
- *by a cue*, with no anchor: `did you mean docs?`, `use docs`, `the correct value is docs`.

Values of fewer than three characters and booleans turn up everywhere by chance: for them only explicit binding counts, and
only binding by the environment itself excuses it. Case, white space, quotes and Markdown marks are no difference. Lists and
objects leak by any scalar in them, an object's keys being parameters of their own.

No leak is a value that the failed message itself passed to that parameter: that part of the call was right already. A
malformed message has no calls; what its text binds or names is taken as called.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from fission_grpo.types import Failure, ToolCall

NEARNESS = 60
"""Characters between anchor and value within which a long value counts as bound."""
SHORT = 3
"""Values with fewer characters than this count only when bound explicitly."""

_MARKS = str.maketrans("", "", "\"'`*“”‘’«»\\")
_OWN = "\x00"
"""Stands in a text for a value that the failed message itself passed, so that nothing inside that value is found."""

_CONNECTORS = (
    "is was are be been being must should shall has have had need needs needed ought set equal equals to as with"
    " value values parameter argument field the a an correct right expected expects exactly actually instead rather"
    " than of not but use using pass give put for in into it its number integer string boolean called named and or"
    " change changed try required want wants wanted take takes make makes so replace replaced by"
)
_CONNECTOR = rf"(?:[\s=:>\-,(){{}}\[\].]|\b(?:{'|'.join(_CONNECTORS.split())})\b)*"
_CUE = (
    r"\b(?:(?:did|do) you mean|you meant|use|using|try|should (?:be|have been)|must be|expected|instead|go with|choose|pass"
    r"|enter|(?:correct|right|expected|intended|proper|actual) \w+ (?:is|was|would be)|the answer is"
    r"|replace\w* \S+ (?:by|with))(?: (?:the|a|an|be|it|value|with|to))*[\s:=]*"
)


class LeakKind(StrEnum):
    """What a feedback gave away."""

    VALUE = "value"
    """A reference value, bound to its parameter."""
    TOOL = "tool"
    """The name of a reference tool that was not called."""


@dataclass(frozen=True)
class Leak:
    """What leaked: the tool, and for a value the parameter and the value as text."""

    kind: LeakKind
    tool: str
    parameter: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class _Binding:
    """A scalar of a reference call, and what it would be bound to."""

    tool: str
    parameter: str
    value: Any

    @property
    def is_short(self) -> bool:
        """Whether the value is so common that only explicit binding counts."""
        return isinstance(self.value, bool) or self.value is None or len(str(self.value)) < SHORT


def leaks(feedback_text: str, failure: Failure) -> Leak | None:
    """The first thing that a feedback gives away of `failure.reference`, or None."""
    error_text = failure.error_text or ""
    # The environment's words, quoted whole at the start, are no leak; what follows must not build on their nearness.
    own_words = feedback_text.removeprefix(error_text)
    text, excuse = _plain(own_words), _plain(error_text)
    written = _plain(failure.text) if failure.format_error is not None else ""
    return _tool_leak(text, excuse, written, failure) or _value_leak(text, excuse, written, failure)


def _tool_leak(text: str, excuse: str, written: str, failure: Failure) -> Leak | None:
    called = {call.name for call in failure.calls}
    for name in dict.fromkeys(call.name for call in failure.reference):
        if name in called:
            continue
        pattern = _tool_pattern(name)
        if pattern.search(text) and not pattern.search(excuse) and not pattern.search(written):
            return Leak(LeakKind.TOOL, name)
    return None


def _value_leak(text: str, excuse: str, written: str, failure: Failure) -> Leak | None:
    for call in failure.reference:
        for binding in _bindings(call):
            passed = _passed_values(binding.parameter, failure.calls)
            value = _value_pattern(binding.value)
            if value is None or any(_same_scalar(own, binding.value) for own in passed):
                continue
            anchors, own_values = _anchors(binding, passed), _covering_values(value, failure.calls)
            if not _binds(_mask(text, own_values), value, anchors, binding.is_short):
                continue
            if _binds(written, value, anchors, binding.is_short):
                continue
            excused = _binds(excuse, value, anchors, short=True) if binding.is_short else re.search(value, excuse)
            if not excused:
                return Leak(LeakKind.VALUE, binding.tool, binding.parameter, str(binding.value))
    return None


def _binds(text: str, value: str, anchors: str, short: bool) -> bool:
    if not re.search(value, text):
        return False
    if re.search(rf"{anchors}{_CONNECTOR}{value}|{value}{_CONNECTOR}{anchors}", text):
        return True
    if short:
        return False
    near = rf"{anchors}.{{0,{NEARNESS}}}?{value}|{value}.{{0,{NEARNESS}}}?{anchors}"
    return re.search(near, text) is not None or re.search(_CUE + value, text) is not None


def _mask(text: str, own_values: list[str]) -> str:
    for own in own_values:
        text = re.sub(own, _OWN, text)
    return text


def _bindings(call: ToolCall) -> Iterator[_Binding]:
    for parameter, value in call.arguments.items():
        for name, scalar in _scalars(parameter, value):
            yield _Binding(call.name, name, scalar)


def _scalars(parameter: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every scalar inside an argument, with the name of what holds it."""
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _scalars(key, item)
    elif isinstance(value, list | tuple):
        for item in cast(list[Any], value):
            yield from _scalars(parameter, item)
    else:
        yield parameter, value


def _passed_values(parameter: str, calls: tuple[ToolCall, ...]) -> list[Any]:
    """What the failed message itself passed to a parameter of that name."""
    return [binding.value for call in calls for binding in _bindings(call) if binding.parameter == parameter]


def _same_scalar(first: Any, second: Any) -> bool:
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return first == second or (isinstance(first, str) and isinstance(second, str) and _plain(first) == _plain(second))


def _anchors(binding: _Binding, passed: list[Any]) -> str:
    wrong = [pattern for pattern in map(_value_pattern, passed) if pattern]
    return "(?:" + "|".join([_name_pattern(binding.parameter), _name_pattern(binding.tool), _OWN, *wrong]) + ")"


def _covering_values(value: str, calls: tuple[ToolCall, ...]) -> list[str]:
    """The values of the failed message in which a reference value stands as a part (`old/a.txt` and `a.txt`)."""
    own = [str(binding.value) for call in calls for binding in _bindings(call)]
    covering = [text for text in own if re.search(value, _plain(text)) and not re.fullmatch(value, _plain(text))]
    return [pattern for pattern in map(_value_pattern, covering) if pattern]


def _tool_pattern(name: str) -> re.Pattern[str]:
    return re.compile(_name_pattern(name))


def _name_pattern(name: str) -> str:
    """Finds a name as a whole word, whatever joins its parts."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    parts = [re.escape(_plain(part)) for part in re.split(r"[_\-.\s]+", spaced) if part]
    return r"(?<!\w)" + r"[_\-.\s]?".join(parts) + r"(?!\w)"


def _value_pattern(value: Any) -> str | None:
    """Finds a scalar as a whole word in plain text; None for a value that no text can show (the empty string)."""
    forms = [re.escape(form) for form in map(_plain, _forms(value)) if form]
    # A digit after a point belongs to another number: 1.5 shows neither 1 nor 5.
    return rf"(?<!\w)(?<!\d\.)(?:{'|'.join(forms)})(?!\w|\.\d)" if forms else None


def _forms(value: Any) -> list[str]:
    if value is None:
        return ["null", "none"]
    if isinstance(value, bool):
        return ["true", "yes"] if value else ["false"]
    if isinstance(value, int | float):
        forms = [str(value), f"{value:,}"]
        return [*forms, str(int(value))] if float(value).is_integer() else forms
    return [str(value)]


def _plain(text: str) -> str:
    """Text without the differences that make none: case, quotes, Markdown marks, runs of white space."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_MARKS).replace(_OWN, " ")
    return re.sub(r"\s+", " ", folded).strip()
