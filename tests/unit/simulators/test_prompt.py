"""The prompt of a simulator: it holds what a diagnosis needs, and no shape of a dialogue breaks it."""

from dataclasses import replace
from typing import Any

import pytest
from failing import failure
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.simulators.prompt import INSTRUCTION, LONGEST_TEXT, RECENT_MESSAGES, diagnosis_prompt, signature
from fission_grpo.types import Failure, FailureKind, Message, Tool, ToolCall, ToolResult


def tool(name: str, **properties: Any) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "description": "long", "parameters": parameters}}


STRING = {"type": "string"}
TOOLS = (
    tool("cat", file_name=STRING, lines={"type": ["integer", "null"]}),
    tool("ls", folder=STRING),
    tool("rm", path=STRING),
)


def prompt(about: Failure) -> str:
    [system, user] = diagnosis_prompt(about)
    assert system == {"role": "system", "content": INSTRUCTION}
    assert user["role"] == "user"
    return user["content"]


def of_dialogue(*messages: Message) -> str:
    return prompt(failure(messages=messages))


def test_all_that_a_diagnosis_needs() -> None:
    about = replace(failure("notes.txt"), tools=TOOLS, reference=(ToolCall("ls", {"folder": "docs"}),))
    assert prompt(about).splitlines() == [
        "tools:",
        "cat(file_name: string, lines?: integer|null)",
        "ls(folder: string)",
        "dialogue:",
        "user: show a",
        "failed message:",
        'cat {"file_name": "notes.txt"}',
        "answer:",
        "error: no notes.txt",
        "correct calls (secret):",
        'ls {"folder": "docs"}',
    ]


def test_a_model_that_was_trained_for_it_gets_no_instruction() -> None:
    [message] = diagnosis_prompt(failure(), instruction="")
    assert message["role"] == "user"


def test_the_instruction_names_every_kind() -> None:
    assert all(f"- {kind}: " in INSTRUCTION for kind in FailureKind)


def test_a_message_that_could_not_be_read_is_shown_as_it_was_written() -> None:
    error = FormatError(FormatErrorKind.UNCLOSED_CALL, "A <tool_call> is never closed.")
    text = prompt(
        replace(failure(), text='<tool_call>{"name": "cat"', calls=(), results=(), format_error=error, reference=())
    )
    assert 'failed message:\n<tool_call>{"name": "cat"\nanswer:\nA <tool_call> is never closed.' in text
    assert text.endswith("correct calls (secret):\n(none)")
    assert "failed message:\n(nothing)\nanswer:\n(none)" in prompt(replace(failure(), text="", calls=(), results=()))


def test_every_answer_is_shown() -> None:
    results = (ToolResult('{"folder": "docs"}'), ToolResult("no such file", is_error=True))
    assert 'answer:\n{"folder": "docs"}\nno such file\n' in prompt(replace(failure(), results=results))


def test_long_texts_are_shortened() -> None:
    page = "line " * 100_000
    long = failure(messages=({"role": "user", "content": page}, {"role": "tool", "content": page}))
    text = prompt(replace(long, results=(ToolResult(page),), text=page, calls=()))
    assert text.count(" [...]") == 4
    assert len(text) < 5 * LONGEST_TEXT


def test_arguments_may_be_a_whole_file() -> None:
    calls = (ToolCall("write", {"text": "x" * 500_000}),)
    assert len(prompt(replace(failure(), calls=calls, reference=calls))) < 5 * LONGEST_TEXT


def test_only_the_end_of_a_dialogue_is_shown_and_never_its_system_message() -> None:
    messages = [{"role": "user", "content": f"message {index}."} for index in range(50)]
    text = of_dialogue({"role": "system", "content": "You are helpful."}, *messages)
    shown = [f"message {index}." in text for index in range(50)]
    assert shown == [False] * (50 - RECENT_MESSAGES) + [True] * RECENT_MESSAGES
    assert "helpful" not in text


@pytest.mark.parametrize("arguments", [{"folder": "docs"}, '{"folder": "docs"}'])
def test_calls_of_the_dialogue_in_either_form_of_arguments(arguments: Any) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "cd", "arguments": arguments}}
    text = of_dialogue({"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "ok"})
    assert 'dialogue:\nassistant: cd {"folder": "docs"}\ntool: ok\n' in text


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": "show "}, "do", {"type": "text", "text": "cs"}, {"type": "image", "text": None}, None]
    assert "user: show docs\n" in of_dialogue({"role": "user", "content": parts})


ODD: list[Message] = [
    {},
    {"role": "user"},
    {"content": "whose?"},
    {"role": None, "content": 3},
    {"role": "assistant", "content": {"a": 1}},
    {"role": "assistant", "content": [None, 3, "text", {"type": "text", "text": None}]},
    {"role": "assistant", "tool_calls": [{"name": "cd", "arguments": None}]},
    {"role": "assistant", "tool_calls": [{"function": {"name": "cd"}}, {"function": None}, {}]},
    {"role": "assistant", "tool_calls": [{"function": {"name": "cd", "arguments": "{broken"}}]},
    {"role": "assistant", "tool_calls": [{"function": {"name": "cd", "arguments": [1, {2, 3}]}}]},
    {"role": "assistant", "tool_calls": None},
]


@pytest.mark.parametrize("message", ODD)
def test_odd_messages_break_nothing(message: Message) -> None:
    assert "failed message:" in of_dialogue(message)


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        (None, "f()"),
        ({}, "f()"),
        ({"properties": None, "required": None}, "f()"),
        ({"properties": {"x": {}}}, "f(x?: any)"),
        ({"properties": {"x": {"anyOf": [STRING]}}, "required": ["x"]}, "f(x: any)"),
        ({"properties": {"x": {"enum": ["a", 1, None]}}}, 'f(x?: "a"|1|null)'),
    ],
)
def test_signatures(parameters: Any, shown: str) -> None:
    assert signature({"type": "function", "function": {"name": "f", "parameters": parameters}}) == shown


@given(st.text(), st.dictionaries(st.text(), st.recursive(st.none() | st.floats() | st.text(), st.lists)))
def test_any_text_and_arguments(text: str, arguments: dict[str, Any]) -> None:
    calls = (ToolCall(text, arguments),)
    about = replace(failure(messages=({"role": "user", "content": text},)), calls=calls, results=(ToolResult(text),))
    assert prompt(about).count("failed message:") >= 1
