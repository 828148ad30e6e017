"""What a model is asked for one message, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fission_grpo.errors import InfrastructureError
from fission_grpo.types import Message, Tool

NOT_TRIED = "not tried: the endpoint seemed down"
_LEAST_PATIENCE = 3


def patience(at_once: int) -> int:
    """Failures in a row after which an endpoint is taken for down: all that it is asked at once, which fail together."""
    return max(_LEAST_PATIENCE, at_once)


@dataclass(frozen=True)
class Request:
    """What is asked: a prompt as text, or messages and tools for an endpoint that has a chat interface."""

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True)
class Completion:
    """What is answered.

    Attributes:
        text: the message; of a chat endpoint its content.
        tool_calls: of a chat endpoint, as its interface has them.
        seconds: how long the request took.
    """

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ContextExceeded:
    """The prompt does not fit the model: the episode ends and counts as wrong, as officially; counted, and never cut."""

    detail: str


Outcome = Completion | ContextExceeded | InfrastructureError


@dataclass(frozen=True)
class Decoding:
    """How messages are sampled.

    Attributes:
        temperature: bfcl-eval's own default is 0.001. Recovery is better seen at 1 (docs/method.md, section 7).
        max_new_tokens: limit of one message; bfcl-eval's is 4,096, or what the context has left.
        seed: of everything that is drawn here; endpoints are given it, and may ignore it.
    """

    temperature: float = 0.001
    max_new_tokens: int = 4096
    seed: int = 0
