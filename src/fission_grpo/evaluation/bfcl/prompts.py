"""The texts that bfcl-eval's own handlers feed to Qwen3, byte for byte (held by fixtures of its output).

Both formats are ChatML. Thinking is kept behind the user's last question and dropped before it, as in Qwen3's template.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.types import Message

_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def function_calling_prompt(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]) -> str:
    """Qwen3 in function-calling mode (`QwenFCHandler`): the functions stand in the system message."""
    system = str(messages[0]["content"]) if messages[0]["role"] == "system" else None
    if functions:
        listed = "".join(f"\n{json.dumps(function)}" for function in functions)
        head = f"{system}\n\n" if system is not None else ""
        opening = f"<|im_start|>system\n{head}{_TOOLS_HEAD}{listed}{_TOOLS_TAIL}<|im_end|>\n"
    else:
        opening = "" if system is None else f"<|im_start|>system\n{system}<|im_end|>\n"
    return opening + "".join(_turns(messages)) + "<|im_start|>assistant\n"


def chatml_prompt(messages: Sequence[Message]) -> str:
    """Qwen3 in prompting mode (`QwenHandler`): a system message of the dialogue, where there is one, opens it."""
    return function_calling_prompt(messages, ())


def system_prompt(functions: Sequence[Mapping[str, Any]]) -> str:
    """bfcl-eval's default system prompt for models without function calling, from its own templates."""
    texts = package_module("constants.default_prompts")
    style: Mapping[str, str] = texts.PROMPT_STYLE_TEMPLATES["classic"]
    return texts.PROMPT_TEMPLATE_MAPPING["plaintext"].format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=style["tool_call_no_tag"].format(
            output_format=texts.OUTPUT_FORMAT_MAPPING["python"], param_types=texts.PARAM_TYPE_MAPPING["python"]
        ),
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=style["available_tools"].format(format="json", functions=json.dumps(functions, indent=4)),
    )


def split_thinking(text: str) -> tuple[str, str]:
    """A completion as (what it says, what it thought before).

    >>> split_thinking("<think>\\nls first\\n</think>\\n\\nDone.")
    ('Done.', 'ls first')
    """
    if "</think>" not in text:
        return text, ""
    parts = text.split("</think>")
    return parts[-1].lstrip("\n"), parts[0].rstrip("\n").split("<think>")[-1].lstrip("\n")


def _turns(messages: Sequence[Message]) -> Iterator[str]:
    question = _last_question(messages)
    for place, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "user" or (role == "system" and place != 0):
            yield f"<|im_start|>{role}\n{content}<|im_end|>\n"
        elif role == "assistant":
            yield _assistant(message, after_question=place > question, last=place == len(messages) - 1)
        elif role == "tool":
            yield _tool_response(messages, place)


def _last_question(messages: Sequence[Message]) -> int:
    for place in range(len(messages) - 1, -1, -1):
        content = messages[place]["content"]
        if messages[place]["role"] == "user" and not (
            content.startswith("<tool_response>") and content.endswith("</tool_response>")
        ):
            return place
    return len(messages) - 1


def _assistant(message: Message, *, after_question: bool, last: bool) -> str:
    content, thinking = message["content"], message.get("reasoning_content") or ""
    if not thinking:
        content, thinking = split_thinking(content)
    if after_question and (last or thinking):
        thought = thinking.strip("\n")
        said = content.lstrip("\n")
        text = f"<think>\n{thought}\n</think>\n\n{said}"
    else:
        text = content
    return f"<|im_start|>assistant\n{text}{_calls(message, content)}<|im_end|>\n"


def _calls(message: Message, content: str) -> str:
    calls: Sequence[Any] = message.get("tool_calls", ())
    texts: list[str] = []
    for call in calls:
        # A call that equals the first is written like the first, wherever it stands: so does the official handler.
        if call != calls[0] or content:
            texts.append("\n")
        # Not `.get`: a call that is a text raises below, and the task ends there, as officially.
        function = call["function"] if "function" in call else call  # noqa: SIM401
        arguments = function["arguments"]
        shown = arguments if isinstance(arguments, str) else json.dumps(arguments)
        # Concatenated, and not formatted: so does a name that is no text.
        texts.append('<tool_call>\n{"name": "' + function["name"] + '", "arguments": ' + shown + "}\n</tool_call>")
    return "".join(texts)


def _tool_response(messages: Sequence[Message], place: int) -> str:
    before = messages[place - 1]["role"] if place > 0 else None
    after = messages[place + 1]["role"] if place < len(messages) - 1 else None
    opening = "" if before == "tool" else "<|im_start|>user"
    closing = "" if after == "tool" else "<|im_end|>\n"
    return f"{opening}\n<tool_response>\n{messages[place]['content']}\n</tool_response>{closing}"
