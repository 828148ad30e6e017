"""Rows of a dataset give back the messages, tools and reference that went in."""

from typing import Any

import pytest
from datasets import Dataset

from fission_grpo.errors import UserError
from fission_grpo.tasks.rows import arrow_messages, check_references_of, check_tools_of, messages_of, reference_of, tools_of
from fission_grpo.types import Message, ToolCall


def call(name: str, **arguments: Any) -> Message:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}


def test_messages_survive_arrow():
    """Arrow would fill the arguments of one call with the keys of all others."""
    dialogues: list[list[Message]] = [
        [{"role": "user", "content": "hi"}, call("cd", folder="docs"), {"role": "tool", "name": "cd", "content": "{}"}],
        [{"role": "user", "content": "sum"}, call("sum", numbers=[1, 2], exact=None)],
    ]
    dataset = Dataset.from_list([{"prompt": arrow_messages(dialogue)} for dialogue in dialogues])
    assert [messages_of({"prompt": prompt}) for prompt in dataset["prompt"]] == dialogues


def test_tools_as_text_or_list():
    tool = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object", "properties": {}}}}
    filled = {
        "type": "function",
        "function": {"name": "ls", "description": None, "parameters": {"type": "object", "properties": {}}},
    }
    assert tools_of({"tools": [filled]}) == [tool]
    assert tools_of({"tools": '[{"type": "function"}]'}) == [{"type": "function"}]


@pytest.mark.parametrize("reference", ["ls()", "{}", '{"name": "ls", "arguments": {}}', [{"name": "ls"}], '["ls"]', 3])
def test_a_reference_that_is_no_list_of_calls_is_named_by_its_row(reference: Any):
    with pytest.raises(UserError, match="row 1, column reference"):
        check_references_of([{"reference": None}, {"reference": reference}])


def test_no_reference_is_unknown_and_an_empty_one_is_known():
    assert reference_of({}) is None
    assert reference_of({"reference": "[]"}) == ()
    assert reference_of({"reference": '[{"name": "ls", "arguments": {"a": true}}]'}) == (ToolCall("ls", {"a": True}),)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("[{", r"row 1, column tools: not readable as JSON"),
        ('[{"type": "function", "function": {"name": "ls", "parameters": {"type": "dict"}}}]', r"row 1, column tools: .*ls"),
    ],
)
def test_broken_tools_are_said_with_their_row(tools: str, said: str):
    with pytest.raises(UserError, match=said):
        check_tools_of([{"tools": "[]"}, {"tools": tools}])
