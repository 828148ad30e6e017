"""Reading tool calls: a round trip for what is well-formed, one precise error for what is not, and never an exception."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.chat import MAX_CHARACTERS, MAX_DEPTH, parse_message, render_calls
from fission_grpo.chat.parsing import MAX_CALLS
from fission_grpo.errors import FormatErrorKind as Kind
from fission_grpo.types import ToolCall

# Text as models write it, with the format's own tags mixed in: inside JSON strings they are content.
strings = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", '"', "\\", "\n", '{"name": "x"}']),
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(strings, children, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[\w.\-]{1,12}", fullmatch=True)
calls = st.lists(st.builds(ToolCall, names, st.dictionaries(strings, values, max_size=4)), max_size=3)
# Prose that says nothing in the format's terms.
prose = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00<>"), max_size=20).map(str.strip)

# The first examples of a run are slow, and so is a busy machine: no deadline.
STEADY = settings(deadline=None, max_examples=60)


def one(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


def kind_of(text: str) -> Kind | None:
    error = parse_message(text).error
    return None if error is None else error.kind


@STEADY
@given(calls=calls)
def test_rendered_calls_are_read_back(calls: list[ToolCall]) -> None:
    parsed = parse_message(render_calls(calls))
    assert parsed.error is None and parsed.content == ""
    assert json.dumps([[call.name, call.arguments] for call in parsed.calls]) == json.dumps(
        [[call.name, call.arguments] for call in calls]
    )


@STEADY
@given(calls=calls, before=prose, after=prose)
def test_text_around_the_calls_is_content(calls: list[ToolCall], before: str, after: str) -> None:
    parsed = parse_message(f"{before}\n{render_calls(calls)}\n{after}")
    assert parsed.calls == tuple(calls)
    assert parsed.content.split() == f"{before} {after}".split()


@STEADY
@given(calls=calls, thought=strings)
def test_thinking_holds_no_calls(calls: list[ToolCall], thought: str) -> None:
    thinking = f"<think>\n{thought.replace('</think>', '')}\n</think>"
    parsed = parse_message(f"{thinking}\n\n{render_calls(calls)}")
    assert parsed.calls == tuple(calls) and parsed.error is None
    assert parsed.content == thinking


@pytest.mark.parametrize(
    "thinking",
    [f"<think>{one('broken')}</think>", f"{one('broken')} hm\n</think>", "I write <tool_call> next.\n</think>"],
)
def test_a_call_that_is_only_thought_of_is_not_made(thinking: str) -> None:
    parsed = parse_message(thinking + render_calls([ToolCall("ls")]))
    assert parsed.calls == (ToolCall("ls"),) and parsed.content == thinking


def test_thinking_that_never_ends_makes_no_call() -> None:
    text = "<think>\nhm " + render_calls([ToolCall("ls")])
    parsed = parse_message(text)
    assert (parsed.content, parsed.calls, parsed.error) == (text, (), None)


@STEADY
@given(text=st.text(st.characters()) | st.binary().map(lambda data: data.decode(errors="surrogateescape")))
def test_any_text_gives_calls_or_an_error(text: str) -> None:
    check_never_both(text)


tags = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
tokens = ['{"name": "f", "arguments": {}}', '"name"', "NaN", "1e999", "null", *'"\\\n{}[],:-\x00\ud800']
pieces = st.sampled_from([*tags, *tokens])


@STEADY
@given(parts=st.lists(pieces | st.binary(max_size=4).map(lambda data: data.decode(errors="replace")), max_size=20))
def test_any_mixture_of_the_formats_pieces_gives_calls_or_an_error(parts: list[str]) -> None:
    check_never_both("".join(parts))


def check_never_both(text: str) -> None:
    parsed = parse_message(text)
    assert not (parsed.calls and parsed.error)
    parsed.content.encode()
    if parsed.error is not None:
        parsed.error.detail.encode()
        assert parsed.error.detail.endswith(".") and "\n" not in parsed.error.detail
        assert 0 <= parsed.error.position <= len(text)
    elif "<tool_call>" not in text and "</tool_call>" not in text:
        assert parsed.content == text.strip()


def nested(depth: int) -> str:
    """A call whose JSON has `depth` levels."""
    return f'{{"name": "f", "arguments": {{"a": {"[" * (depth - 2)}{"]" * (depth - 2)}}}}}'


MALFORMED = [
    (Kind.UNCLOSED_CALL, '<tool_call>\n{"name": "f", "arguments": {}}', "<tool_call>"),
    (Kind.UNCLOSED_CALL, '<tool_call>{"name": "f"<tool_call>{}</tool_call>', "<tool_call>"),
    (Kind.UNOPENED_CALL, '{"name": "f", "arguments": {}}\n</tool_call>', "</tool_call>"),
    (Kind.EMPTY_CALL, "<tool_call>\n</tool_call>", "\n"),
    (Kind.INVALID_JSON, one("f(x=1)"), "f("),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a" 1}}'), "1}"),
    (Kind.INVALID_JSON, one("{'name': 'f', 'arguments': {}}"), "'name"),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a": "b}}'), "\n"),
    (Kind.INVALID_JSON, '<tool_call>{"name": "f}</tool_call>', '"f}'),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {}} {"name": "g", "arguments": {}}'), '{"name": "g"'),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a": NaN}}'), "{"),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a": -Infinity}}'), "{"),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a": 1e999}}'), "{"),
    (Kind.INVALID_JSON, one('{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}"), "{"),
    (Kind.DUPLICATE_KEY, one('{"name": "f", "arguments": {"a": 1, "a": 1}}'), "{"),
    (Kind.DUPLICATE_KEY, one('{"name": "f", "name": "g", "arguments": {}}'), "{"),
    (Kind.TOO_DEEP, one(nested(MAX_DEPTH + 1)), "[]"),
    (Kind.TOO_DEEP, one("[" * 60_000), "[" * (60_000 - MAX_DEPTH)),
    (Kind.NOT_AN_OBJECT, one("[1]"), "[1]"),
    (Kind.NOT_AN_OBJECT, one('"ls"'), '"ls"'),
    (Kind.MISSING_NAME, one('{"arguments": {}}'), "{"),
    (Kind.MISSING_NAME, one("{}"), "{"),
    (Kind.INVALID_NAME, one('{"name": 3, "arguments": {}}'), "{"),
    (Kind.INVALID_NAME, one('{"name": "", "arguments": {}}'), "{"),
    (Kind.INVALID_NAME, one('{"name": "__import__(\'os\').system(\'true\')", "arguments": {}}'), "{"),
    (Kind.MISSING_ARGUMENTS, one('{"name": "f"}'), "{"),
    (Kind.INVALID_ARGUMENTS, one('{"name": "f", "arguments": "{}"}'), "{"),
    (Kind.INVALID_ARGUMENTS, one('{"name": "f", "arguments": null}'), "{"),
    (Kind.UNEXPECTED_KEY, one('{"name": "f", "arguments": {}, "id": 1}'), "{"),
    (Kind.INVALID_TEXT, "hello\x00", "\x00"),
    (Kind.INVALID_TEXT, "hello\udc80", "\udc80"),
    (Kind.INVALID_TEXT, one('{"name": "f", "arguments": {"a": ["\\u0000"]}}'), "{"),
    (Kind.INVALID_TEXT, one('{"name": "f", "arguments": {"\\ud83d": 1}}'), "{"),
]


@pytest.mark.parametrize(("kind", "text", "at"), MALFORMED, ids=[f"{kind}-{i}" for i, (kind, _, _) in enumerate(MALFORMED)])
def test_each_way_of_being_malformed_has_its_error(kind: Kind, text: str, at: str) -> None:
    parsed = parse_message(text)
    assert parsed.error is not None and parsed.error.kind == kind
    assert text[parsed.error.position :].startswith(at), parsed.error
    assert parsed.calls == () and parsed.content == re.sub("[\x00\udc80]", "\ufffd", text).strip()


def test_every_kind_can_be_reached() -> None:
    too_many = render_calls([ToolCall("ls", {})] * (MAX_CALLS + 1))
    reached = {kind for kind, _, _ in MALFORMED} | {kind_of("a" * (MAX_CHARACTERS + 1)), kind_of(too_many)}
    assert reached == set(Kind)


@STEADY
@given(calls=calls.filter(bool), place=st.integers(0, 3))
def test_one_malformed_call_leaves_none_and_is_where_the_error_points(calls: list[ToolCall], place: int) -> None:
    blocks = [render_calls([call]) for call in calls]
    blocks.insert(place, one('{"name": "broken"}'))
    text = "\n".join(blocks)
    parsed = parse_message(text)
    assert parsed.calls == () and parsed.error is not None and parsed.error.kind == Kind.MISSING_ARGUMENTS
    assert text.startswith('{"name": "broken"}', parsed.error.position)


def test_the_limits_themselves_are_allowed() -> None:
    assert kind_of(one(nested(MAX_DEPTH))) is None
    assert kind_of("a" * MAX_CHARACTERS) is None
    assert kind_of(one('{"name": "f", "arguments": {"a": ' + "9" * 4000 + "}}")) is None


def test_thinking_tags_inside_a_broken_call_are_not_thinking() -> None:
    text = one('{"name": "f", "arguments": {"a": "</think>"') + render_calls([ToolCall("ls")])
    assert kind_of(text) == Kind.INVALID_JSON


def test_brackets_inside_strings_do_not_nest() -> None:
    arguments = {"a": "[" * 1000, "b": '\\"' + "{" * 1000}
    assert parse_message(render_calls([ToolCall("f", arguments)])).calls == (ToolCall("f", arguments),)


HOSTILE: list[tuple[str, str]] = [
    ("megabytes", "<tool_call>" * 1_000_000),
    ("opening tags", "<tool_call>" * 5_000),
    ("calls", one('{"name": "f", "arguments": {}}') * 1_000),
    ("unclosed string", '<tool_call>{"' + "a" * 60_000),
    ("quotes", "<tool_call>" + '"' * 60_000),
    ("backslashes", '<tool_call>"' + "\\" * 60_000),
    ("broken lines", "<tool_call>" + '"\n' * 30_000),
    ("thinking", "</think>" * 8_000),
    ("lists", one("[" * 30_000 + "]" * 30_000)),
    ("digits", one("1" * 60_000)),
    ("keys", one("{" + ",".join(f'"{i}":0' for i in range(6_000)) + "}")),
]


@pytest.mark.parametrize("text", [text for _, text in HOSTILE], ids=[label for label, _ in HOSTILE])
def test_hostile_text_is_read_quickly(text: str) -> None:
    start = time.perf_counter()
    parse_message(text)
    # A linear reader needs some 10 ms; a quadratic one, minutes.
    assert time.perf_counter() - start < 2


def test_details_stay_short_whatever_the_model_wrote() -> None:
    for body in (
        '{"name": "' + "!" * 9000 + '", "arguments": {}}',
        '{"' + "k" * 9000 + '": 1, "' + "k" * 9000 + '": 1}',
        "x" * 9000,
    ):
        error = parse_message(one(body)).error
        assert error is not None and len(error.detail) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_json_is_not_rendered(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_calls([ToolCall("f", {"a": value})])
