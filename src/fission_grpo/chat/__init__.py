"""Messages <-> token ids (token in, token out), and the tool-call format of real models."""

from fission_grpo.chat.parsing import MAX_CHARACTERS, MAX_DEPTH, ParsedMessage, parse_message, render_calls
from fission_grpo.chat.schema import (
    SchemaViolation,
    ViolationKind,
    canonical,
    check_call,
    check_tools,
    normalise_arguments,
)
from fission_grpo.chat.template import ChatFormat, ChatTokenizer

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "ChatFormat",
    "ChatTokenizer",
    "ParsedMessage",
    "SchemaViolation",
    "ViolationKind",
    "canonical",
    "check_call",
    "check_tools",
    "normalise_arguments",
    "parse_message",
    "render_calls",
]
