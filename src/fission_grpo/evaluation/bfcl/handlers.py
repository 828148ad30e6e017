"""How a family of models is prompted and read: what bfcl-eval calls a handler.

A handler turns the dialogue into a request, and a completion into what the result file keeps, what the history keeps, and
the calls. `qwen-fc` and `prompting` are bfcl-eval's own, byte for byte. `tool-calls` is how it plays endpoints that return
tool calls. `template` has no official counterpart: the model's own chat template, for policies trained with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.environments.bfcl.tools import as_tool
from fission_grpo.evaluation.asking import Completion, Request
from fission_grpo.evaluation.bfcl.decoding import (
    decode_function_calls,
    decode_python_calls,
    decode_tool_calls,
    extract_tool_calls,
)
from fission_grpo.evaluation.bfcl.openai_tools import openai_tools
from fission_grpo.evaluation.bfcl.prompts import chatml_prompt, function_calling_prompt, split_thinking, system_prompt
from fission_grpo.types import Message, Tool

Function = Mapping[str, Any]
"""A function document as bfcl-eval hands it to its handlers."""


@dataclass(frozen=True)
class Reply:
    """A completion as read.

    Attributes:
        response: what the result file keeps, and what is decoded into calls.
        message: what stands in the history.
    """

    response: Any
    message: Message
    reasoning: str = ""


class Handler(ABC):
    """See the module's docstring. What is not abstract is how bfcl-eval plays every local model.

    Attributes:
        name: its name on the command line.
        official_name: a model registered in bfcl-eval with the same decoding, under which its evaluator reads the files.
        lists_added: functions that a turn brings are listed with the others from then on; else only the user's message of
            that turn holds them.
    """

    name: ClassVar[str]
    official_name: ClassVar[str]
    lists_added: ClassVar[bool] = False

    @abstractmethod
    def request(self, messages: Sequence[Message], functions: Sequence[Function]) -> Request:
        """What to ask for the next message. `functions` are those offered so far.

        Raises:
            AttributeError, KeyError, TypeError: the history holds a call that cannot be written: the task ends there.
        """

    @abstractmethod
    def read(self, completion: Completion) -> Reply:
        """What a completion says."""

    @abstractmethod
    def decode(self, response: Any) -> list[str]:
        """The calls as texts.

        Raises:
            DecodeError: there is nothing that can be decoded; it ends the turn.
        """

    def opening(self, messages: Sequence[Message], functions: Sequence[Function]) -> list[Message]:
        """The messages of the first turn as they enter the history."""
        return [dict(message) for message in messages]

    def added_functions(self, functions: Sequence[Function]) -> str:
        """What the user says where a turn brings functions that were withheld: Python's view of a list of documents."""
        text: str = package_module("constants.default_prompts").DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING
        return text.format(functions=list(functions))

    def results(self, calls: Sequence[str], results: Sequence[str], reply: Reply) -> list[Message]:
        """What is said to the model about its calls."""
        return [{"role": "tool", "name": call, "content": result} for call, result in zip(calls, results, strict=True)]


@dataclass(frozen=True)
class QwenFunctionCalling(Handler):
    """bfcl-eval's `QwenFCHandler`: Qwen3 in function-calling mode, thinking allowed."""

    name: ClassVar[str] = "qwen-fc"
    official_name: ClassVar[str] = "Qwen/Qwen3-1.7B-FC"

    def request(self, messages: Sequence[Message], functions: Sequence[Function]) -> Request:
        return Request(function_calling_prompt(messages, functions))

    def read(self, completion: Completion) -> Reply:
        said, thought = split_thinking(completion.text)
        calls = extract_tool_calls(completion.text)
        message: Message = {"role": "assistant", "content": "" if calls else said}
        if calls:
            message["tool_calls"] = calls
        message["reasoning_content"] = thought
        return Reply(said, message, thought)

    def decode(self, response: Any) -> list[str]:
        return decode_tool_calls(response)


@dataclass(frozen=True)
class Prompting(Handler):
    """bfcl-eval's default system prompt, for models without function calling: `[cd(folder='docs')]`.

    Attributes:
        template: writes the dialogue as text; ChatML as bfcl-eval's `QwenHandler` does, or a tokenizer's chat template.
    """

    template: "ChatTemplate | None" = None
    name: ClassVar[str] = "prompting"
    official_name: ClassVar[str] = "Qwen/Qwen3-1.7B"

    def opening(self, messages: Sequence[Message], functions: Sequence[Function]) -> list[Message]:
        opening = [dict(message) for message in messages]
        text = system_prompt(functions)
        if opening[0]["role"] == "system":
            opening[0]["content"] = text + "\n\n" + opening[0]["content"]
            return opening
        return [{"role": "system", "content": text}, *opening]

    def request(self, messages: Sequence[Message], functions: Sequence[Function]) -> Request:
        return Request(chatml_prompt(messages) if self.template is None else self.template.render(messages, ()))

    def read(self, completion: Completion) -> Reply:
        said, thought = split_thinking(completion.text)
        return Reply(said, {"role": "assistant", "content": said, "reasoning_content": thought}, thought)

    def decode(self, response: Any) -> list[str]:
        return decode_python_calls(response)


class ChatTemplate(Protocol):
    """A tokenizer's chat template."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The dialogue as text, up to where the assistant writes."""
        ...


@dataclass(frozen=True)
class Template(Handler):
    """A policy's own chat template with `<tool_call>` messages, such as the bundled policy's. Decoded like `qwen-fc`."""

    template: ChatTemplate
    name: ClassVar[str] = "template"
    official_name: ClassVar[str] = "Qwen/Qwen3-1.7B-FC"
    lists_added: ClassVar[bool] = True

    def added_functions(self, functions: Sequence[Function]) -> str:
        return _added_functions()

    def request(self, messages: Sequence[Message], functions: Sequence[Function]) -> Request:
        return Request(self.template.render(messages, [as_tool(function) for function in functions]))

    def read(self, completion: Completion) -> Reply:
        said, thought = split_thinking(completion.text)
        calls = [call for call in extract_tool_calls(completion.text) if _is_call(call)]
        message: Message = {"role": "assistant", "content": "" if calls else said}
        if calls:
            message["tool_calls"] = [{"type": "function", "function": call} for call in calls]
        return Reply(said, message, thought)

    def decode(self, response: Any) -> list[str]:
        return decode_tool_calls(response)

    def results(self, calls: Sequence[str], results: Sequence[str], reply: Reply) -> list[Message]:
        return super().results([call.partition("(")[0] for call in calls], results, reply)


@dataclass(frozen=True)
class ToolCalls(Handler):
    """An endpoint's chat interface with tool calls, as bfcl-eval's `OpenAICompletionsHandler` plays it."""

    name: ClassVar[str] = "tool-calls"
    official_name: ClassVar[str] = "openbmb/MiniCPM-SALA-FC"
    lists_added: ClassVar[bool] = True

    def added_functions(self, functions: Sequence[Function]) -> str:
        return _added_functions()

    def request(self, messages: Sequence[Message], functions: Sequence[Function]) -> Request:
        return Request(messages=tuple(messages), tools=tuple(openai_tools(functions)))

    def read(self, completion: Completion) -> Reply:
        if not completion.tool_calls:
            return Reply(completion.text, {"role": "assistant", "content": completion.text})
        calls = [call["function"] for call in completion.tool_calls]
        message = {"role": "assistant", "content": completion.text or None, "tool_calls": list(completion.tool_calls)}
        return Reply([{call["name"]: call["arguments"]} for call in calls], message)

    def decode(self, response: Any) -> list[str]:
        return decode_function_calls(response)

    def results(self, calls: Sequence[str], results: Sequence[str], reply: Reply) -> list[Message]:
        ids = [call.get("id") for call in reply.message["tool_calls"]]
        return [{"role": "tool", "content": result, "tool_call_id": id_} for id_, result in zip(ids, results, strict=False)]


def _added_functions() -> str:
    return str(package_module("constants.default_prompts").DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC)


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("name"), str) and isinstance(call.get("arguments"), dict)
