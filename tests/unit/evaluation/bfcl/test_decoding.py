"""What a model writes is decoded as bfcl-eval decodes it, or refused: nothing is evaluated, nothing hangs."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fission_grpo.evaluation.bfcl.decoding import (
    DecodeError,
    decode_function_calls,
    decode_python_calls,
    decode_tool_calls,
    extract_tool_calls,
    is_empty,
)
from fission_grpo.evaluation.bfcl.prompts import split_thinking

PIECES = st.sampled_from(
    [
        "<tool_call>\n",
        "\n</tool_call>",
        '{"name": "ls", "arguments": {}}',
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        '"',
        "\n",
        "\\",
        "ls(",
        "a=",
        "b=1",
        ",",
        ", ",
        "**",
        "*",
        "-",
        "not ",
        "lambda: ",
        'f"',
        "'",
        "1",
        "9**9",
        "'a'",
        "x",
        ".",
        ":",
        ":=",
        "...",
        "[x for x in y]",
        "a[0]",
        "a.b(c=1)",
        "g(h=1)",
        "None",
        "1e999",
        "1j",
        "b'x'",
        "%",
        "+",
        "\x00",
        "�",
        "`",
        " ",
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=25).map("".join) | st.lists(PIECES, max_size=12).map("[ls(a={})]".format)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def calls_or_refusal(decode: Callable[[Any], list[str]], response: Any) -> None:
    try:
        calls = decode(response)
    except DecodeError:
        return
    assert all(type(call) is str for call in calls)


@given(TEXTS)
@example("[ls(a=" + "9**" * 50 + "9)]")
def test_any_text_gives_calls_or_a_refusal(text: str) -> None:
    for decode in (decode_python_calls, decode_tool_calls, decode_function_calls):
        calls_or_refusal(decode, text)


@given(JSON)
def test_any_json_gives_calls_or_a_refusal(value: Any) -> None:
    calls_or_refusal(decode_function_calls, value)
    calls_or_refusal(decode_function_calls, [{"ls": json.dumps(value)}])
    calls_or_refusal(decode_tool_calls, f"<tool_call>\n{json.dumps(value)}\n</tool_call>")
    calls_or_refusal(decode_tool_calls, '<tool_call>\n{"name": "ls", "arguments": ' + json.dumps(value) + "}\n</tool_call>")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "ls(" * 100_000,
        "[ls(a=" + "-" * 20_000 + "1)]",
        "[ls(a=" + "-" * 900 + "1)]",
        "[ls(a=" + "1+" * 1_500 + "1)]",
        "[a" + ".b" * 100_000 + "()]",
        "[ls(a=" + "{'a': " * 150 + "1" + "}" * 150 + ")]",
        "[ls(a=" + "9" * 10_000 + ")]",
        "[ls(a=0x" + "f" * 10_000 + ")]",
        "[ls(a=9**9**9)]",
        "[ls(a=10**12**10**12)]",
        "[ls(a='a'*10**12)]",
        "[ls(a=[1]*10**9)]",
        "[ls(a='%999999999d' % 1)]",
        "[ls(a=('%' + '99999999' + 'd') % 1)]",
        "[ls(a='%*d' % (999999999, 1))]",
        "[ls(a=b'%999999999d' % 1)]",
        "<tool_call>\n" * 80_000,
        "<tool_call>\n" + "[" * 100_000 + "\n</tool_call>",
        '<tool_call>\n{"name": "ls", "arguments": {"a": ' + "9" * 100_000 + "}}\n</tool_call>",
        "x" * 1_000_000,
    ],
    ids=lambda text: text[:24],
)
def test_nasty_texts_take_no_time(text: str) -> None:
    started = time.thread_time()
    calls_or_refusal(decode_python_calls, text)
    calls_or_refusal(decode_tool_calls, text)
    assert time.thread_time() - started < 2.0


@pytest.mark.parametrize(
    "argument",
    ["__import__('os').system('touch X')", "open('X', 'w')", "().__class__", "1 + __import__('os').system('touch X')"],
)
def test_nothing_is_executed(argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls_or_refusal(decode_python_calls, f"[ls(a={argument})]")
    calls_or_refusal(decode_python_calls, argument)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[cd(folder='docs'), ls()]", ["cd(folder='docs')", "ls()"]),
        ("cd(folder='docs'), ls()", ["cd(folder='docs')", "ls()"]),
        ("```\n[ls()]\n```", ["ls()"]),
        ("[ls()", ["ls()"]),
        ("[cd('docs')]", ["cd()"]),  # positional arguments are dropped
        ("[a.b.c(x=1)]", ["a.b.c(x=1)"]),
        ("[f(x=docs)]", ["f(x='docs')"]),  # a bare name is its text
        ("[f(x=true)]", ["f(x='true')"]),
        ("[f(x=...)]", ["f(x='...')"]),
        ("[f(x=-1, y=~1, z=not 1)]", ["f(x=-1, y=-1, z=-1)"]),
        ("[f(x=[1, 'a', (2,)])]", ["f(x=[1, 'a', (2,)])"]),
        ("[f(x={'a': 1})]", ["f(x={'a': 1})"]),
        ("[f(x={'g': {'h': 1}})]", ["f(x=g(h=1))"]),  # a dictionary of dictionaries is taken for a call
        ("[f(x=g(h=1))]", ["f(x=g(h=1))"]),
        ("[f(x=g('h'))]", ["f(x=\"g('h')\")"]),  # and one without named arguments for a text
        ("[f(x=a[0])]", ["f(x='a[0]')"]),
        ("[f(x=2 * 3 + 1)]", ["f(x=7)"]),
        ("[f(x=2 ** 10, y=7 // 2, z=7 % 4)]", ["f(x=1024, y=3, z=3)"]),
        ("[f(x='a' * 3)]", ["f(x='aaa')"]),
        ("[f(x='%d files' % 3)]", ["f(x='3 files')"]),
        ("[]", []),
        ("", []),
    ],
)
def test_python_calls(text: str, calls: list[str]) -> None:
    assert decode_python_calls(text) == calls


@pytest.mark.parametrize(
    "text",
    [
        "I am done.",
        "[1]",
        "[ls]",
        "[ls(), 1]",
        "[f(x=-y)]",
        "[f(x=lambda: 1)]",
        "[f(x=f'{1}')]",
        "[f(x=(y := 1))]",
        "[f(x=[y for y in z])]",
        "[f(x={1, 2})]",
        "[f(x={[1]: 2})]",
        "[f(x={**y})]",
        "[f(x={})]",
        "[f(x=1 if y else 2)]",
        "[f(x=1 / 0)]",
        "[f(x='a' + 1)]",
        "[f(x=y + 1)]",
        "[f(x=1)\0]",
    ],
)
def test_texts_without_python_calls(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_python_calls(text)


def tagged(*inside: str) -> str:
    return "".join(f"<tool_call>\n{text}\n</tool_call>\n" for text in inside)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("Done.", []),
        (tagged('{"name": "ls", "arguments": {}}'), ["ls()"]),
        (tagged('{"name": "f", "arguments": {"x": 1, "y": [null, true]}}'), ["f(x=1,y=[None, True])"]),
        (tagged('{"name": "f", "arguments": "{\\"x\\": 1}"}'), ["f(x=1)"]),  # arguments that are JSON as a text
        (tagged("no JSON", '{"name": "ls", "arguments": {}}'), ["ls()"]),  # dropped silently
        (tagged('{"name": "a", "arguments": {}}', '{"name": "b", "arguments": {}}'), ["a()", "b()"]),
        ('<tool_call>{"name": "ls", "arguments": {}}</tool_call>', []),  # the line breaks are part of the format
        ('<tool_call>\n{"name": "ls", "arguments": {}}', []),  # never closed
        ('<tool_call>\n<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>', []),
        ('<tool_call>\n</tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>', []),
    ],
)
def test_tool_calls(text: str, calls: list[str]) -> None:
    assert decode_tool_calls(text) == calls


@pytest.mark.parametrize(
    "inside", ["[]", "1", '"ls"', "null", '{"name": "ls"}', '{"arguments": {}}', '{"name": "ls", "arguments": [1]}']
)
def test_json_that_is_no_call_refuses_the_message(inside: str) -> None:
    with pytest.raises(DecodeError):
        decode_tool_calls(tagged('{"name": "pwd", "arguments": {}}', inside))


TAGS = st.sampled_from(["<tool_call>\n", "\n</tool_call>", "1", "\n", " ", "<tool_call>"])


@given(st.lists(TAGS, max_size=12).map("".join))
def test_tags_are_found_as_the_official_expression_finds_them(text: str) -> None:
    official = re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.DOTALL)
    expected = [json.loads(found) for found in official if found.strip(" \n") == "1"]
    assert extract_tool_calls(text) == expected or any(found.count("1") > 1 for found in official)


@pytest.mark.parametrize("calls", ["Done.", [{"ls": ""}], [{"ls": None}], [{"ls": "[1]"}], [1], 1, None])
def test_function_calls_that_are_none(calls: Any) -> None:
    with pytest.raises(DecodeError):
        decode_function_calls(calls)


def test_function_calls_of_an_endpoint() -> None:
    assert decode_function_calls([{"cd": '{"folder": "docs"}'}, {"ls": "{}"}]) == ["cd(folder='docs')", "ls()"]


@pytest.mark.parametrize(("calls", "empty"), [([], True), ([""], True), (["ls()"], False), (["", ""], False)])
def test_what_counts_as_empty(calls: list[str], empty: bool) -> None:
    assert is_empty(calls) is empty


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("Hello.", "Hello.", ""),
        ("ls first\n</think>\n\nDone.", "Done.", "ls first"),  # the prompt may have opened the block
        ("<think>a</think>b</think>c", "c", "a"),
        ("<think>\nendless", "<think>\nendless", ""),
        ("</think>", "", ""),
    ],
)
def test_thinking_is_split_off(text: str, said: str, thought: str) -> None:
    assert split_thinking(text) == (said, thought)
