"""A model in this process: which handler fits it, and a backend on transformers. torch is imported when one is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from fission_grpo.errors import UserError
from fission_grpo.evaluation.asking import Completion, Decoding
from fission_grpo.evaluation.bfcl.backends import RESERVED_TOKENS, Backend, PolicyBackend
from fission_grpo.evaluation.bfcl.handlers import Handler, Prompting, QwenFunctionCalling, Template, ToolCalls
from fission_grpo.evaluation.bfcl.prompts import function_calling_prompt
from fission_grpo.evaluation.local_model import load_local
from fission_grpo.types import Message, Tool

FORMATS = ("auto", "qwen-fc", "prompting", "template", "tool-calls")
_PROBE_MESSAGES: Sequence[Message] = ({"role": "user", "content": "Where am I?"},)
_PROBE_FUNCTIONS: Sequence[Mapping[str, Any]] = (
    {"name": "pwd", "description": "Says where.", "parameters": {"type": "dict", "properties": {}, "required": []}},
)


@dataclass(frozen=True)
class TokenizerTemplate:
    """The chat template of a tokenizer, as text."""

    tokenizer: Any

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                list(messages), tools=list(tools) or None, add_generation_prompt=True, tokenize=False
            )
        )


@dataclass(frozen=True)
class LocalModel:
    """A loaded tokenizer, and how to make a backend on its weights."""

    tokenizer: Any
    make_backend: Callable[[Decoding], Backend]


def choose_handler(name: str, tokenizer: Any) -> Handler:
    """The handler of a format; `auto` looks at the tokenizer's chat template.

    A template that writes bfcl-eval's own function-calling prompt is Qwen3's (or its kin's): `qwen-fc`. One that writes
    tools in another way is played as it is: `template`. One that knows no tools: `prompting`, through that template.

    Raises:
        UserError: an unknown format, or a chat template that refuses a dialogue such as the benchmark's.
    """
    template = TokenizerTemplate(tokenizer)
    handler: Handler
    match _detected(template) if name == "auto" else name:
        case "qwen-fc":
            handler = QwenFunctionCalling()
        case "prompting":
            handler = Prompting(None if _writes_chatml(template) else template)
        case "template":
            handler = Template(template)
        case _:
            raise UserError(f"--format: found {name!r}; allowed: {', '.join(FORMATS)}")
    _check_dialogue(handler)
    return handler


def check_local_format(name: str) -> None:
    """Refuses a format that only endpoints have, before a model is loaded."""
    if name == "tool-calls":
        raise UserError("--format tool-calls: it is for endpoints; add --base-url, or take qwen-fc, prompting or template")


def choose_endpoint_handler(name: str, model: str) -> Handler:
    """The handler of an endpoint's model, whose tokenizer is not at hand; `auto` goes by its name."""
    found = ("qwen-fc" if "qwen3" in model.lower().replace("-", "") else "tool-calls") if name == "auto" else name
    match found:
        case "qwen-fc":
            return QwenFunctionCalling()
        case "prompting":
            return Prompting()
        case "tool-calls":
            return ToolCalls()
        case "template":
            raise UserError(
                "--format template: it is for local models; with --base-url take tool-calls, qwen-fc or prompting"
            )
        case _:
            raise UserError(f"--format: found {name!r}; allowed: {', '.join(FORMATS)}")


def load_transformers(model: str, capacity: int, device: str | None, dtype: str) -> LocalModel:
    """A model on transformers.

    Args:
        capacity: dialogues played at once.
        device: by default a GPU where there is one.

    Raises:
        UserError: no such model or device, or the model has no chat template.
    """
    loaded = load_local(model, device, dtype)
    context = loaded.context_tokens

    def make_backend(decoding: Decoding) -> Backend:
        policy = loaded.policy(capacity, context - RESERVED_TOKENS, decoding.seed)
        return PolicyBackend(policy, loaded.tokenizer, context, decoding, capacity)

    return LocalModel(loaded.tokenizer, make_backend)


def _detected(template: TokenizerTemplate) -> str:
    from fission_grpo.environments.bfcl.tools import as_tool

    tools = [as_tool(function) for function in _PROBE_FUNCTIONS]
    with_tools, without = template.render(_PROBE_MESSAGES, tools), template.render(_PROBE_MESSAGES, ())
    if with_tools == without:
        return "prompting"
    head = function_calling_prompt(_PROBE_MESSAGES, _PROBE_FUNCTIONS).partition("<tools>\n")[0]
    return "qwen-fc" if with_tools.startswith(head) else "template"


def _check_dialogue(handler: Handler) -> None:
    """Some chat templates refuse system or tool messages: better said now than after the first call of a model."""
    reply = handler.read(Completion('<tool_call>\n{"name": "pwd", "arguments": {}}\n</tool_call>'))
    results = handler.results(["pwd()"], ["/"], reply)
    history = [*handler.opening(_PROBE_MESSAGES, _PROBE_FUNCTIONS), reply.message, *results, *_PROBE_MESSAGES]
    try:
        handler.request(history, _PROBE_FUNCTIONS)
    except TemplateError as error:
        raise UserError(
            f"--format {handler.name}: the model's chat template refuses a dialogue of the benchmark ({error}); "
            f"take another of {', '.join(FORMATS[1:-1])}"
        ) from error


def _writes_chatml(template: TokenizerTemplate) -> bool:
    """Whether a template writes a dialogue as bfcl-eval's own ChatML handler does."""
    messages: list[Message] = [{"role": "system", "content": "S"}, *_PROBE_MESSAGES]
    return template.render(messages, ()) == function_calling_prompt(messages, ())
