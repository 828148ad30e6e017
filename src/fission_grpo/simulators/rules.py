"""Diagnosis by rule, from schema, execution and reference: names the problem, never the answer.

A feedback is one line of at most four short parts, of which a level gives the first one, three or four::

    error: <problem>. tool: <the call at fault>. parameter: <its parameter at fault>. <what to look at>
           `-- KIND   `-- PARAMETER                                                    `-- FULL

Before it stands the environment's error text on a line of its own, where a call erred. `RAW` is that text alone. The
sentences are few and fixed, so that a small policy can learn to read them. None names a tool that was not called, or any
value of a reference call.
"""

import re
from collections.abc import Sequence

from fission_grpo.chat.schema import SchemaViolation, ViolationKind, check_call
from fission_grpo.failures import error_kind_of, parameter_at_fault
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel, RuntimeErrorKind

PROBLEMS: dict[FailureKind, str] = {
    FailureKind.MALFORMED_CALL: "malformed call",
    FailureKind.UNKNOWN_TOOL: "unknown tool",
    FailureKind.SCHEMA_VIOLATION: "invalid arguments",
    FailureKind.WRONG_TOOL: "wrong tool",
    FailureKind.WRONG_ARGUMENTS: "wrong arguments",
    FailureKind.MISSING_CALL: "missing call",
    FailureKind.SUPERFLUOUS_CALL: "call not needed",
    FailureKind.STEP_LIMIT: "too many steps",
}
"""What was wrong, for failures without a table of their own below."""

HINTS: dict[FailureKind, str] = {
    FailureKind.MALFORMED_CALL: "write the call again.",
    FailureKind.UNKNOWN_TOOL: "choose one of the tools on offer.",
    FailureKind.SCHEMA_VIOLATION: "check the parameters of this tool.",
    FailureKind.WRONG_TOOL: "choose another tool.",
    FailureKind.WRONG_ARGUMENTS: "check the arguments against the request.",
    FailureKind.MISSING_CALL: "a call is needed here.",
    FailureKind.SUPERFLUOUS_CALL: "leave this call out.",
    FailureKind.STEP_LIMIT: "use fewer calls.",
}
"""What to look at, likewise."""

RUNTIME_PROBLEMS: dict[RuntimeErrorKind, str] = {
    RuntimeErrorKind.NOT_FOUND: "not found",
    RuntimeErrorKind.LOGIN_REQUIRED: "missing login",
    RuntimeErrorKind.LOGIN_FAILED: "login failed",
    RuntimeErrorKind.ALREADY_EXISTS: "already exists",
    RuntimeErrorKind.INVALID_VALUE: "invalid value",
    RuntimeErrorKind.INVALID_TYPE: "wrong type",
    RuntimeErrorKind.PRECONDITION: "not possible yet",
    RuntimeErrorKind.OTHER: "call failed",
}
"""What was wrong with a call that erred."""

RUNTIME_HINTS: dict[RuntimeErrorKind, str] = {
    RuntimeErrorKind.NOT_FOUND: "look up what is there, then call again.",
    RuntimeErrorKind.LOGIN_REQUIRED: "log in first, then repeat the call.",
    RuntimeErrorKind.LOGIN_FAILED: "check user and password.",
    RuntimeErrorKind.ALREADY_EXISTS: "it is there already: go on, or choose another name.",
    RuntimeErrorKind.INVALID_VALUE: "the value is not allowed.",
    RuntimeErrorKind.INVALID_TYPE: "check the types of the parameters.",
    RuntimeErrorKind.PRECONDITION: "do what the error asks for, then repeat the call.",
    RuntimeErrorKind.OTHER: "read the error and change the call.",
}
"""What to look at after a call that erred."""

SCHEMA_PROBLEMS: dict[ViolationKind, str] = {
    ViolationKind.UNKNOWN_TOOL: "unknown tool",
    ViolationKind.MISSING_PARAMETER: "missing parameter",
    ViolationKind.UNEXPECTED_PARAMETER: "unknown parameter",
    ViolationKind.WRONG_TYPE: "wrong type",
    ViolationKind.NOT_ALLOWED_VALUE: "value not allowed",
}
"""What was wrong with arguments that break the schema."""

SCHEMA_HINTS: dict[ViolationKind, str] = {
    ViolationKind.UNKNOWN_TOOL: "choose one of the tools on offer.",
    ViolationKind.MISSING_PARAMETER: "this parameter is required.",
    ViolationKind.UNEXPECTED_PARAMETER: "the tool has no such parameter.",
    ViolationKind.WRONG_TYPE: "check the types of the parameters.",
    ViolationKind.NOT_ALLOWED_VALUE: "check the values that the tool allows.",
}
"""What to look at after arguments that break the schema."""

REPEATED_PROBLEM = "same call failed again: {problem}"
REPEATED_HINT = "do not repeat it before something has changed."
NO_CALL_NEEDED_HINT = "no call is needed here."
MORE_CALLS_HINT = "more calls are needed."

_NAMEABLE = re.compile(r"[\w.\-]{1,64}")
"""Names of tools and parameters may be the policy's own invention: nothing but a short identifier is repeated to it."""


class RulesSimulator:
    """Deterministic feedback at the failure's level.

    Args:
        include_error_text: begin with the environment's error text where a call erred.
    """

    name = "rules"

    def __init__(self, include_error_text: bool = True) -> None:
        self._include_error_text = include_error_text

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [self._feedback(failure) for failure in failures]

    def _feedback(self, failure: Failure) -> Feedback:
        if failure.level is FeedbackLevel.RAW:
            return Feedback(_raw_text(failure), self.name, failure.level)
        text = diagnosis_text(failure, failure.level)
        if self._include_error_text and failure.error_text is not None:
            text = f"{failure.error_text}\n{text}"
        return Feedback(text, self.name, failure.level, failure.kind)


def diagnosis_text(failure: Failure, level: FeedbackLevel) -> str:
    """The one-line diagnosis at a level above `RAW`, without the environment's error text."""
    parts = [f"error: {_problem(failure)}."]
    if failure.format_error is not None:
        parts.append(failure.format_error.detail)
    if level >= FeedbackLevel.PARAMETER:
        parts += _place(failure)
    if level >= FeedbackLevel.FULL:
        parts.append(_hint(failure))
    return " ".join(parts)


def _raw_text(failure: Failure) -> str:
    if failure.error_text is not None:
        return failure.error_text
    # The parser is what answers a malformed message: its sentence is that failure's raw error.
    return FIXED_TEXT if failure.format_error is None else f"error: {failure.format_error.detail}"


def _problem(failure: Failure) -> str:
    if violation := _violation(failure):
        return SCHEMA_PROBLEMS[violation.kind]
    if failure.kind is FailureKind.RUNTIME_ERROR:
        return RUNTIME_PROBLEMS[_error_kind(failure)]
    if failure.kind is FailureKind.REPEATED_FAILING_CALL:
        return REPEATED_PROBLEM.format(problem=RUNTIME_PROBLEMS[_error_kind(failure)])
    return PROBLEMS[failure.kind]


def _place(failure: Failure) -> list[str]:
    call, parameter = failure.failed_call, parameter_at_fault(failure)
    place = {"tool": call and call.name, "parameter": parameter}
    return [f"{what}: {name}." for what, name in place.items() if name and _NAMEABLE.fullmatch(name)]


def _hint(failure: Failure) -> str:
    if violation := _violation(failure):
        return SCHEMA_HINTS[violation.kind]
    if failure.kind is FailureKind.RUNTIME_ERROR:
        return RUNTIME_HINTS[_error_kind(failure)]
    if failure.kind is FailureKind.REPEATED_FAILING_CALL:
        return f"{REPEATED_HINT} {RUNTIME_HINTS[_error_kind(failure)]}"
    if failure.kind is FailureKind.SUPERFLUOUS_CALL and not failure.reference:
        return NO_CALL_NEEDED_HINT
    if failure.kind is FailureKind.MISSING_CALL and failure.calls:
        return MORE_CALLS_HINT
    return HINTS[failure.kind]


def _violation(failure: Failure) -> SchemaViolation | None:
    call = failure.failed_call
    return check_call(call, failure.tools) if failure.kind is FailureKind.SCHEMA_VIOLATION and call else None


def _error_kind(failure: Failure) -> RuntimeErrorKind:
    return failure.error_kind or error_kind_of(failure.error_text or "")
