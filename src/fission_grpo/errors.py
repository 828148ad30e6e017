"""The whole error design in one place: what is data, what is masked, what stops a run.

1. **A model's mistake is data.** Text that does not parse is a `FormatError` *value* carried by the step; a call that the
   environment refuses is a `ToolResult` with `is_error=True`. Neither is ever raised.
2. **An infrastructure failure is masked and counted.** `InfrastructureError` is raised by environments, endpoints and
   simulators when *they* fail; the driver catches it, ends the trajectory with `StopReason.INFRASTRUCTURE`, and nothing of
   that trajectory is trained on or scored.
3. **A user's mistake is one clear sentence.** `UserError` names the file or setting, the value found and the values allowed.
   It is raised before any model is loaded; the command line prints it without a traceback and exits with status 2.
"""

from dataclasses import dataclass
from enum import StrEnum


class FormatErrorKind(StrEnum):
    """Each way in which the text of a tool call can be malformed."""

    UNCLOSED_CALL = "unclosed_call"
    """`<tool_call>` without its `</tool_call>`."""
    UNOPENED_CALL = "unopened_call"
    """`</tool_call>` without a `<tool_call>` before it."""
    EMPTY_CALL = "empty_call"
    """Nothing between the two tags."""
    INVALID_JSON = "invalid_json"
    """The text between the tags is not JSON (NaN and Infinity are not JSON either)."""
    DUPLICATE_KEY = "duplicate_key"
    """An object names the same key twice, so its meaning is ambiguous."""
    TOO_DEEP = "too_deep"
    """The JSON nests deeper than `chat.parsing.MAX_DEPTH`."""
    TOO_LONG = "too_long"
    """The text is longer than `chat.parsing.MAX_CHARACTERS`."""
    TOO_MANY_CALLS = "too_many_calls"
    """The message makes more calls than `chat.parsing.MAX_CALLS`."""
    NOT_AN_OBJECT = "not_an_object"
    """The JSON is a list, a string or a number."""
    MISSING_NAME = "missing_name"
    """The object has no `name`."""
    INVALID_NAME = "invalid_name"
    """`name` is not a string, is empty, or is no identifier (letters, digits, `_`, `-`, `.`)."""
    MISSING_ARGUMENTS = "missing_arguments"
    """The object has no `arguments`."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """`arguments` is not an object."""
    UNEXPECTED_KEY = "unexpected_key"
    """The object has keys besides `name` and `arguments`."""
    INVALID_TEXT = "invalid_text"
    """The text holds NUL bytes or lone surrogates, which no chat template can carry."""


@dataclass(frozen=True)
class FormatError:
    """Why a message of the policy could not be read. Data, not an exception.

    Attributes:
        kind: which rule was broken.
        detail: one sentence for a reader (and for the policy: it is the deterministic feedback of a format failure).
        position: character offset into the message where reading failed.
    """

    kind: FormatErrorKind
    detail: str
    position: int = 0


class FissionError(Exception):
    """Base class of everything this package raises on purpose."""


class InfrastructureError(FissionError):
    """An environment, endpoint or simulator failed by itself: masked from training, counted in the metrics."""


class UserError(FissionError):
    """A mistake of the user, told in one sentence that says what to change."""


def in_one_line(error: Exception) -> str:
    """What a library says, for a sentence of ours.

    >>> in_one_line(ValueError("two are needed,\\n  one was found"))
    'two are needed, one was found'
    """
    return " ".join(str(error).split())
