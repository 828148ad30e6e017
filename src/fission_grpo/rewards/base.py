"""What is scored, and the protocol of whatever scores it."""

from dataclasses import dataclass
from typing import Protocol

from fission_grpo.errors import FormatError
from fission_grpo.types import Tool, ToolCall


@dataclass(frozen=True)
class ScoredStep:
    """One assistant message beside the reference at this point: all that a reward may look at.

    Attributes:
        text: the message, decoded.
        calls: the calls parsed from it; empty for plain text and for a format error.
        format_error: why the text could not be read, or None.
        completion_length: sampled tokens.
        reference: y*, the reference calls; empty where nothing should be called.
        reference_length: tokens of the reference message; None where there is none to compare with.
        tools: the tools on offer.
    """

    text: str
    calls: tuple[ToolCall, ...]
    format_error: FormatError | None
    completion_length: int
    reference: tuple[ToolCall, ...]
    reference_length: int | None
    tools: tuple[Tool, ...]


class Reward(Protocol):
    """A term of the reward: a number for a step at a training step (0 is the first update)."""

    def __call__(self, step: ScoredStep, training_step: int) -> float: ...
