"""The Hermes/Qwen tool-call format: `<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>`, any number of calls.

Nothing of a model's text is evaluated, and no text raises: it gives calls or one precise `FormatError`. Reading takes time
linear in the length of the text, which is bounded by `MAX_CHARACTERS`; nesting is measured before `json.loads` may recurse.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fission_grpo.chat.values import UNCARRIABLE, json_type, quote
from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.types import ToolCall

MAX_CHARACTERS = 65_536
"""Longest message that is read."""
MAX_CALLS = 128
"""Most calls of one message (BFCL's longest turn has 34): matching them with a reference takes quadratic time."""
MAX_DEPTH = 32
"""Deepest nesting of objects and lists in one call; the call's own object is level 1."""
MAX_DIGITS = 4_300
"""Longest integer literal, Python's own default: converting longer ones takes quadratic time."""

OPEN, CLOSE = "<tool_call>", "</tool_call>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

TOOL_NAME = re.compile(r"[\w.\-]+")
"""What a tool may be called (matched against the whole name)."""

# A JSON string ends at its quote or, being broken, at the end of the line: JSON strings hold no raw newline. Possessive
# quantifiers keep the scan linear.
_STRING = r'"(?:[^"\\\n]++|\\[^\n])*+"?'
_TAG = re.compile(f"{_STRING}|{OPEN}|{CLOSE}")
_BRACKET = re.compile(rf"{_STRING}|[{{}}\[\]]")


@dataclass(frozen=True)
class ParsedMessage:
    """What an assistant message says.

    Attributes:
        content: the text outside the calls, thinking included, stripped. With an error it is the whole text, and in any case
            characters that no chat template can carry stand replaced by U+FFFD.
        calls: all calls in order; empty when any of them is malformed.
        error: the first thing wrong with the message.
    """

    content: str
    calls: tuple[ToolCall, ...] = ()
    error: FormatError | None = None


class _MalformedCall(Exception):
    """Leaves the JSON decoder's hooks and the checks below; never leaves this module."""

    def __init__(self, kind: FormatErrorKind, detail: str, position: int = 0) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.position = kind, detail, position


def parse_message(text: str) -> ParsedMessage:
    """Reads the tool calls of one assistant message. All or nothing: one malformed call leaves none.

    A `<tool_call>` inside `<think>...</think>` is thinking, not a call; so is one before the `</think>` of thinking that
    the prompt opened.

    >>> parse_message('Looking. <tool_call>{"name": "ls", "arguments": {}}</tool_call>')
    ParsedMessage(content='Looking.', calls=(ToolCall(name='ls', arguments={}),), error=None)
    >>> parse_message('<tool_call>{"name": "ls"}</tool_call>').error.kind
    <FormatErrorKind.MISSING_ARGUMENTS: 'missing_arguments'>
    """
    try:
        _check_text(text)
        blocks = _find_answer_blocks(text)
        _check_count(blocks.found)
        calls = tuple(_read_call(text, start, end) for start, end in blocks.found)
        if blocks.error is not None:
            raise blocks.error
    except _MalformedCall as error:
        content = UNCARRIABLE.sub("\ufffd", text).strip()
        return ParsedMessage(content, (), FormatError(error.kind, error.detail, error.position))
    outside = (text[start:end].strip() for start, end in blocks.gaps(len(text)))
    return ParsedMessage("\n".join(part for part in outside if part), calls)


def first_call(text: str) -> int | None:
    """Where in a message its first call opens, behind the thinking; None where it makes none.

    >>> first_call('Looking. <tool_call>{"name": "ls", "arguments": {}}</tool_call>')
    9
    """
    found = _find_answer_blocks(text).found
    return found[0][0] if found else None


def without_thinking(text: str) -> str:
    """What a model says after its thinking, which a chat template may have opened and the token limit may have cut.

    >>> without_thinking("<think>Which folder?</think> Not that one.")
    'Not that one.'
    """
    return text.rpartition(THINK_CLOSE)[2].partition(THINK_OPEN)[0].strip()


def render_calls(calls: Iterable[ToolCall]) -> str:
    """The canonical text of calls, which `parse_message` reads back unchanged.

    >>> print(render_calls([ToolCall("cd", {"folder": "docs"})]))
    <tool_call>
    {"name": "cd", "arguments": {"folder": "docs"}}
    </tool_call>
    """
    return "\n".join(f"{OPEN}\n{_dump_call(call)}\n{CLOSE}" for call in calls)


def _dump_call(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False, allow_nan=False)


def _check_text(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        detail = f"The message has {len(text)} characters; at most {MAX_CHARACTERS} are read."
        raise _MalformedCall(FormatErrorKind.TOO_LONG, detail, MAX_CHARACTERS)
    if found := UNCARRIABLE.search(text):
        detail = f"The message holds the character U+{ord(found[0]):04X}, which is not allowed in text."
        raise _MalformedCall(FormatErrorKind.INVALID_TEXT, detail, found.start())


def _check_count(blocks: Sequence[tuple[int, int]]) -> None:
    if len(blocks) > MAX_CALLS:
        detail = f"The message makes {len(blocks)} calls; at most {MAX_CALLS} are read."
        raise _MalformedCall(FormatErrorKind.TOO_MANY_CALLS, detail, blocks[MAX_CALLS][0])


@dataclass(frozen=True)
class _Blocks:
    """Where the tags of a message pair up, whatever stands between them.

    Attributes:
        found: (start, end) of each block, tags included, up to the first tag without partner.
        error: what is wrong with that tag.
    """

    found: list[tuple[int, int]]
    error: _MalformedCall | None = None

    def gaps(self, length: int) -> Iterator[tuple[int, int]]:
        """The stretches outside the blocks of a text of this length."""
        start = 0
        for block_start, block_end in self.found:
            yield start, block_start
            start = block_end
        yield start, length


def _find_answer_blocks(text: str) -> _Blocks:
    """The blocks behind the thinking."""
    if text.lstrip().startswith(THINK_OPEN):
        close = text.find(THINK_CLOSE)
        return _find_blocks(text, len(text) if close < 0 else close + len(THINK_CLOSE))
    blocks = _find_blocks(text, 0)
    # Some templates open the thinking in the prompt; then a `</think>` stands alone, outside of any call.
    for start, end in blocks.gaps(len(text)):
        if (close := text.find(THINK_CLOSE, start, end)) >= 0:
            return _find_blocks(text, close + len(THINK_CLOSE))
    return blocks


def _find_blocks(text: str, start: int) -> _Blocks:
    found: list[tuple[int, int]] = []
    try:
        while (opened := _next_call(text, start)) is not None:
            start = _closing_tag(text, opened + len(OPEN)) + len(CLOSE)
            found.append((opened, start))
    except _MalformedCall as error:
        return _Blocks(found, error)
    return _Blocks(found)


def _next_call(text: str, start: int) -> int | None:
    opened, closed = text.find(OPEN, start), text.find(CLOSE, start)
    if closed >= 0 and (opened < 0 or closed < opened):
        raise _MalformedCall(FormatErrorKind.UNOPENED_CALL, f"There is a {CLOSE} without a {OPEN} before it.", closed)
    return None if opened < 0 else opened


def _closing_tag(text: str, body: int) -> int:
    """Position of the `</tool_call>` that closes the call whose JSON starts at `body`.

    Tags inside JSON strings are content. Where the quotes do not pair up, the first tag of any kind counts: the JSON is
    invalid then, and the decoder will say where.
    """
    tag = next((match for match in _TAG.finditer(text, body) if match[0][0] == "<"), None)
    if tag is not None and tag[0] == CLOSE:
        return tag.start()
    close = text.find(CLOSE, body, None if tag is None else tag.start())
    if close < 0:
        detail = f"A {OPEN} is never closed; end each call with {CLOSE}."
        raise _MalformedCall(FormatErrorKind.UNCLOSED_CALL, detail, body - len(OPEN))
    return close


def _read_call(text: str, start: int, end: int) -> ToolCall:
    """Reads the block at `text[start:end]`, tags included."""
    offset = start + len(OPEN)
    body = text[offset : end - len(CLOSE)]
    if not body.strip():
        raise _MalformedCall(FormatErrorKind.EMPTY_CALL, f"There is nothing between {OPEN} and {CLOSE}.", offset)
    _check_depth(body, offset)
    try:
        return _to_call(_DECODER.decode(body))
    except json.JSONDecodeError as error:
        rest = body[error.pos :].strip()
        where = f"near {quote(rest, 24)}" if rest else "at its end"
        detail = f"The call is not valid JSON: {_reason(error)} {where}."
        raise _MalformedCall(FormatErrorKind.INVALID_JSON, detail, offset + error.pos) from None
    except _MalformedCall as error:
        raise _MalformedCall(error.kind, error.detail, offset + len(body) - len(body.lstrip())) from None


def _reason(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Invalid control character"):
        return "a string is not closed on its line (a line break inside a string is written \\n)"
    return error.msg.lower().removesuffix(" at")


def _check_depth(body: str, offset: int) -> None:
    depth = 0
    for match in _BRACKET.finditer(body):
        if match[0] in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                detail = f"The JSON of the call nests deeper than {MAX_DEPTH} levels."
                raise _MalformedCall(FormatErrorKind.TOO_DEEP, detail, offset + match.start())
        elif match[0] in "}]":
            depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _MalformedCall(FormatErrorKind.DUPLICATE_KEY, f"The key {quote(key)} stands twice in the same object.")
        result[key] = value
    return result


def _finite_float(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _MalformedCall(FormatErrorKind.INVALID_JSON, f"The number {quote(literal)} is too large.")
    return value


def _bounded_int(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise _MalformedCall(FormatErrorKind.INVALID_JSON, f"A number has more than {MAX_DIGITS} digits.")
    return int(literal)


def _no_constant(literal: str) -> Any:
    raise _MalformedCall(FormatErrorKind.INVALID_JSON, f"The call is not valid JSON: {literal} is not a JSON value.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_float=_finite_float, parse_int=_bounded_int, parse_constant=_no_constant
)


def _to_call(value: Any) -> ToolCall:
    """Checks the decoded JSON of one call."""
    if not isinstance(value, dict):
        detail = 'A call must be a JSON object like {"name": ..., "arguments": {...}}, not ' + json_type(value) + "."
        raise _MalformedCall(FormatErrorKind.NOT_AN_OBJECT, detail)
    fields = cast(dict[str, Any], value)
    if any(UNCARRIABLE.search(string) for string in _strings(fields)):
        detail = "A string of the call holds an escaped NUL or half of a surrogate pair, which is not allowed in text."
        raise _MalformedCall(FormatErrorKind.INVALID_TEXT, detail)
    name, arguments = _name_of(fields), _arguments_of(fields)
    for key in fields:
        if key not in ("name", "arguments"):
            detail = f'A call has only the keys "name" and "arguments", not {quote(key)}.'
            raise _MalformedCall(FormatErrorKind.UNEXPECTED_KEY, detail)
    return ToolCall(name, arguments)


def _name_of(fields: dict[str, Any]) -> str:
    if "name" not in fields:
        raise _MalformedCall(FormatErrorKind.MISSING_NAME, 'The call has no "name".')
    name = fields["name"]
    if not isinstance(name, str):
        detail = f'The "name" of a call must be a string, not {json_type(name)}.'
        raise _MalformedCall(FormatErrorKind.INVALID_NAME, detail)
    if not TOOL_NAME.fullmatch(name):
        detail = f'The "name" {quote(name)} is no tool name: those have letters, digits, "_", "-" and "." only.'
        raise _MalformedCall(FormatErrorKind.INVALID_NAME, detail)
    return name


def _arguments_of(fields: dict[str, Any]) -> dict[str, Any]:
    if "arguments" not in fields:
        detail = 'The call has no "arguments"; write {} for a tool without parameters.'
        raise _MalformedCall(FormatErrorKind.MISSING_ARGUMENTS, detail)
    arguments = fields["arguments"]
    if not isinstance(arguments, dict):
        detail = f'The "arguments" of a call must be an object, not {json_type(arguments)}.'
        raise _MalformedCall(FormatErrorKind.INVALID_ARGUMENTS, detail)
    return cast(dict[str, Any], arguments)


def _strings(value: Any) -> Iterator[str]:
    """Every string and key in a JSON value (of bounded depth)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _strings(item)
