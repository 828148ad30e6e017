"""A template that leaves out tools is replaced where it is ChatML, and known for what it is elsewhere."""

from copy import deepcopy
from typing import Any

import pytest
from tokenizers_like import TEMPLATES, tokenizer_like

from fission_grpo.chat import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import complete_template, shows_tools
from fission_grpo.types import Message, ToolCall

TOOL = {"type": "function", "function": {"name": "cat", "description": "Shows.", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "cat", "arguments": {"file_name": "é", "n": 1}}}
DIALOGUE: list[Message] = [
    {"role": "user", "content": "Show é."},
    {"role": "assistant", "content": "I look.", "tool_calls": [CALL, CALL]},
    {"role": "tool", "name": "cat", "content": "text"},
    {"role": "tool", "name": "cat", "content": "more"},
]


@pytest.mark.parametrize("family", TEMPLATES)
def test_which_templates_show_tools(family: str) -> None:
    assert shows_tools(tokenizer_like(family)) is (family != "SmolLM2")


@pytest.mark.parametrize("family", TEMPLATES)
def test_only_a_template_that_leaves_out_tools_is_replaced(family: str) -> None:
    tokenizer = deepcopy(tokenizer_like(family))
    before = tokenizer.chat_template
    assert complete_template(tokenizer) is (family == "SmolLM2")
    assert (tokenizer.chat_template == before) is (family != "SmolLM2")
    assert shows_tools(tokenizer)


def test_a_template_that_is_no_chatml_is_left_alone() -> None:
    tokenizer = deepcopy(tokenizer_like("SmolLM2"))
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    assert not complete_template(tokenizer)
    assert not shows_tools(tokenizer)


@pytest.fixture
def completed() -> Any:
    tokenizer = deepcopy(tokenizer_like("SmolLM2"))
    complete_template(tokenizer)
    return tokenizer


def test_calls_and_results_are_written_in_the_form_that_is_parsed(completed: Any) -> None:
    chat = ChatFormat(completed)
    text = chat.decode(chat.render(DIALOGUE, [TOOL]))
    assert text.count('<tool_call>\n{"name": "cat", "arguments": {"file_name": "é", "n": 1}}\n</tool_call>') == 2
    assert "\n<tool_response>\ntext\n</tool_response>\n<tool_response>\nmore\n</tool_response>" in text


def test_a_grown_dialogue_is_the_rendered_one(completed: Any) -> None:
    chat = ChatFormat(completed)
    sampled = chat.tokenize("I look.\n" + render_calls([ToolCall("cat", {"file_name": "é", "n": 1})] * 2))
    grown = chat.extend([*chat.render(DIALOGUE[:1], [TOOL]), *sampled], DIALOGUE[2:])
    assert grown == chat.render(DIALOGUE, [TOOL])


def test_system_text_stands_before_the_tools(completed: Any) -> None:
    messages: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    with_tools, without = (completed.apply_chat_template(messages, tools=tools, tokenize=False) for tools in ([TOOL], None))
    assert with_tools.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    assert without == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
