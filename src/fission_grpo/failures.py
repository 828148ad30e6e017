"""Where and how a trajectory went wrong: the taxonomy that pool, simulators, metrics and reports share.

A step is diagnosed by the first rule that applies, in this order:

1. `malformed_call`: the message could not be read.
2. `unknown_tool`: a call names a tool that is not on offer.
3. `schema_violation`: a call's arguments break the tool's schema.
4. `repeated_failing_call`: a call errs that has erred before in this user turn, with equal arguments.
5. `runtime_error`: a call errs; `RuntimeErrorKind` says how, from the environment's text.
6. `wrong_tool`: some call is of no reference tool while a reference tool was not called (or, where order counts, the
   right tools in the wrong order).
7. `wrong_arguments`: a call of the right tool differs from the reference in its arguments.
8. `missing_call`: every call made is right, but the reference has more of them.
9. `superfluous_call`: the reference is done, but there are further calls.
10. `step_limit`: nothing above, and the step was the last that the limit allowed.

Rules 6 to 9 need reference calls: `reference=None` means unknown, `()` means that nothing should be called.
"""

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from fission_grpo.chat.schema import ViolationKind, canonical, check_call, normalise_arguments
from fission_grpo.errors import FormatError
from fission_grpo.rewards.correctness import match_calls
from fission_grpo.types import (
    Failure,
    FailureKind,
    RuntimeErrorKind,
    StopReason,
    Tool,
    ToolCall,
    ToolResult,
    Trajectory,
)

CHECKED_KINDS = frozenset(
    {
        FailureKind.MALFORMED_CALL,
        FailureKind.UNKNOWN_TOOL,
        FailureKind.SCHEMA_VIOLATION,
        FailureKind.RUNTIME_ERROR,
        FailureKind.REPEATED_FAILING_CALL,
    }
)
"""Kinds that parser, schema or execution establish by a message alone. The others follow from a whole turn: mostly from its
reference, of which there may be several."""

# The first pattern found decides, so the specific stand before the general. Written against every error text of
# bfcl-eval's API classes and of tau2's tools, and the texts of Python's own exceptions, which both hand on.
_RUNTIME_ERRORS: tuple[tuple[RuntimeErrorKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            RuntimeErrorKind.LOGIN_FAILED,
            r"(invalid|wrong|incorrect) (username|user name|password|credentials|access token|client|refresh token)"
            r"|login failed|authentication failed",
        ),
        (
            RuntimeErrorKind.LOGIN_REQUIRED,
            r"not authenticated|no user is (currently )?logged in|not logged in|(please )?log in (first|to)\b"
            r"|please authenticate|login required|token (not initialized|expired)|unauthori[sz]ed",
        ),
        (
            RuntimeErrorKind.INVALID_TYPE,
            r"must be (a |an )?(numbers?|integers?|strings?|lists?|bool(ean)?s?)\b|unsupported operand"
            r"|unexpected keyword argument|missing \d+ required|required positional argument|object is not"
            r"|has no attribute|expected str|not supported between instances|can only concatenate|indices must be"
            r"|invalid literal|could not convert|must be (str|int|float|real number)|got multiple values|unhashable"
            r"|argument of type|cannot be interpreted as|no positional|takes \d+ positional|takes from \d+",
        ),
        (RuntimeErrorKind.ALREADY_EXISTS, r"already (exists|registered|in\b|a member|follow)|file exists"),
        (
            RuntimeErrorKind.PRECONDITION,
            r"already (completed|closed|resolved|cancell?ed|the root|logged in)|not empty|insufficient|market is closed"
            r"|exceeded budget|less than budget|before starting|start the engine|needs? to be pressed|must press"
            r"|tank is empty|must be locked|is full|cannot go back"
            # tau2's
            r"|balance is not enough|not enough (balance|seats)|already (awaiting|has an)|must be (active|suspended) to"
            r"|non-(pending|delivered) order|is not overdue|exactly one payment",
        ),
        (
            RuntimeErrorKind.NOT_FOUND,
            r"not found|no such|does not exist|doesn't exist|not registered|no available|unknown|not in\b|\b404\b"
            r"|invalid (stock symbol|(departure|destination) airport code)|not available on",
        ),
        (
            RuntimeErrorKind.INVALID_VALUE,
            r"invalid|unsupported|not supported|not allowed|must be|cannot be|is a directory|not a (file|directory)"
            r"|too (large|long|short|small)|empty list|divi(de|sion) by zero|negative number|math domain|out of range"
            r"|above the tank capacity|exceeds|does not match"
            r"|should be (the|different)|should match|does not add up|too many",
        ),
    )
)

LONGEST_ERROR = 8_000
"""Characters of an error text that are looked at, half from each end: what is longer quotes what it was given."""
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'")
_BLAMELESS = frozenset({RuntimeErrorKind.LOGIN_REQUIRED, RuntimeErrorKind.PRECONDITION})
"""Errors about the state of the world: no parameter of the call is at fault."""
_ABSENT = object()
_UNANSWERED = frozenset({FailureKind.MALFORMED_CALL, FailureKind.MISSING_CALL})


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a step.

    Attributes:
        kind: the established kind.
        error_kind: for calls that erred, what the environment's text says.
        call_index: which call is at fault, None where none is (malformed text, a missing call).
        parameter: which of its parameters is at fault, where that can be told.
    """

    kind: FailureKind
    error_kind: RuntimeErrorKind | None = None
    call_index: int | None = None
    parameter: str | None = None


def classify_step(
    calls: Sequence[ToolCall],
    format_error: FormatError | None,
    results: Sequence[ToolResult],
    reference: Sequence[ToolCall] | None,
    tools: Sequence[Tool],
    *,
    previous_failing_calls: Collection[ToolCall] = (),
    ordered: bool = False,
    at_step_limit: bool = False,
) -> Diagnosis | None:
    """Diagnoses one assistant message, or returns None where nothing is wrong with it.

    Args:
        calls: the parsed calls.
        format_error: why the message could not be read, or None.
        results: the environment's answers, one per executed call, in order.
        reference: the reference calls; None where they are unknown.
        tools: the tools on offer.
        previous_failing_calls: calls that erred earlier in this user turn.
        ordered: the order of the calls counts.
        at_step_limit: this was the last step that the limit allowed, and the turn is not done.
    """
    if format_error is not None:
        return Diagnosis(FailureKind.MALFORMED_CALL)
    diagnosis = _schema_diagnosis(calls, tools) or _error_diagnosis(
        calls, results, reference or (), tools, previous_failing_calls
    )
    if diagnosis is None and reference is not None:
        diagnosis = _reference_diagnosis(calls, reference, tools, ordered)
    if diagnosis is None and at_step_limit:
        return Diagnosis(FailureKind.STEP_LIMIT)
    return diagnosis


def failure_point(trajectory: Trajectory) -> int | None:
    """The step from which an unsolved episode is fissioned: in its first wrong turn the first that errs, else the last.

    What erred before and was put right is no failure, and once a turn is wrong nothing later can save the episode.
    Only what the environment answered counts as an error here. Where the infrastructure failed there is none: such an
    episode says nothing.
    """
    verdict = trajectory.verdict
    if trajectory.stop_reason is StopReason.INFRASTRUCTURE or verdict is None or verdict.solved:
        return None
    wrong = verdict.turns.index(False) if False in verdict.turns else len(verdict.turns)
    places = [place for place, step in enumerate(trajectory.steps) if step.turn == wrong]
    if not places:  # it was broken off before anything was said in that turn
        return None
    erring = (place for place in places if any(result.is_error for result in trajectory.steps[place].results))
    return next(erring, places[-1])


def error_kind_of(text: str) -> RuntimeErrorKind:
    """What an environment's error text says went wrong.

    >>> error_kind_of('{"error": "cd: \\'docs\\': No such file or directory"}').value
    'not_found'
    >>> error_kind_of("Error during execution: add() missing 1 required positional argument: 'b'").value
    'invalid_type'
    """
    text = _shortened(text)
    # A file may be called 'unknown.txt': what the text quotes decides only where the rest says nothing.
    for part in (_QUOTED.sub("", text), text):
        for kind, pattern in _RUNTIME_ERRORS:
            if pattern.search(part):
                return kind
    return RuntimeErrorKind.OTHER


def _shortened(error_text: str) -> str:
    if len(error_text) <= LONGEST_ERROR:
        return error_text
    return f"{error_text[: LONGEST_ERROR // 2]} {error_text[-LONGEST_ERROR // 2 :]}"


def answered_by_benchmark(kind: FailureKind) -> bool:
    """Whether the target benchmark would answer such a failure at all (METHOD 2).

    Malformed text and a missing call end the turn there, with no feedback: contexts made from them are reported as a share
    of their own and can be switched off.
    """
    return kind not in _UNANSWERED


def same_call(first: ToolCall, second: ToolCall, tools: Sequence[Tool]) -> bool:
    """Whether two calls mean the same: equal names, and equal arguments after schema defaults."""
    return first.name == second.name and _identity(first, tools) == _identity(second, tools)


def differing_parameter(call: ToolCall, reference: ToolCall, tools: Sequence[Tool]) -> str | None:
    """The first parameter in which two calls of one tool differ: a wrong or superfluous one before a missing one."""
    own, target = _arguments(call, tools), _arguments(reference, tools)
    return next((name for name in (*own, *target) if own.get(name, _ABSENT) != target.get(name, _ABSENT)), None)


def blamed_parameter(call: ToolCall, error_text: str) -> str | None:
    """The one parameter of a call whose value an error text quotes, or else whose name it names; None where that is unclear.

    >>> blamed_parameter(ToolCall("mv", {"source": "a.txt", "destination": "old"}), "mv: cannot move 'a.txt': No such file")
    'source'
    """

    error_text = _shortened(error_text)
    folded = error_text.casefold()

    def mentions(what: object) -> bool:
        text = str(what)
        # Most are not there at all, which costs less to see than a pattern costs to make.
        if len(text) > LONGEST_ERROR or text.casefold() not in folded:
            return False
        return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", error_text, re.IGNORECASE) is not None

    quoted = [
        name for name, value in call.arguments.items() if not isinstance(value, bool) and value != "" and mentions(value)
    ]
    named = [name for name in call.arguments if mentions(name)]
    return next((found[0] for found in (quoted, named) if len(found) == 1), None)


def parameter_at_fault(failure: Failure) -> str | None:
    """The parameter of the failed call that is at fault, where schema, error text or reference tells."""
    call = failure.failed_call
    if call is None:
        return None
    match failure.kind:
        case FailureKind.SCHEMA_VIOLATION:
            violation = check_call(call, failure.tools)
            return violation.parameter if violation else None
        case FailureKind.RUNTIME_ERROR | FailureKind.REPEATED_FAILING_CALL:
            return _blame(call, failure.error_text or "", failure.reference, failure.tools)
        case FailureKind.WRONG_ARGUMENTS:
            diagnosis = _reference_diagnosis(failure.calls, failure.reference, failure.tools, ordered=False)
            return diagnosis.parameter if diagnosis else None
        case _:
            return None


def _identity(call: ToolCall, tools: Sequence[Tool]) -> Hashable:
    return call.name, canonical(normalise_arguments(call, tools))


def _arguments(call: ToolCall, tools: Sequence[Tool]) -> dict[str, object]:
    return {name: canonical(value) for name, value in normalise_arguments(call, tools).items()}


def _schema_diagnosis(calls: Sequence[ToolCall], tools: Sequence[Tool]) -> Diagnosis | None:
    found = [(index, violation) for index, call in enumerate(calls) if (violation := check_call(call, tools))]
    for index, violation in found:
        if violation.kind is ViolationKind.UNKNOWN_TOOL:
            return Diagnosis(FailureKind.UNKNOWN_TOOL, call_index=index)
    if not found:
        return None
    index, violation = found[0]
    return Diagnosis(FailureKind.SCHEMA_VIOLATION, call_index=index, parameter=violation.parameter)


def _error_diagnosis(
    calls: Sequence[ToolCall],
    results: Sequence[ToolResult],
    reference: Sequence[ToolCall],
    tools: Sequence[Tool],
    previous: Collection[ToolCall],
) -> Diagnosis | None:
    erring = [index for index, result in enumerate(results) if result.is_error]
    if not erring:
        return None
    known = {_identity(call, tools) for call in previous}
    repeated = [index for index in erring if known and _identity(calls[index], tools) in known]
    index = (repeated or erring)[0]
    text = results[index].content
    kind = FailureKind.REPEATED_FAILING_CALL if repeated else FailureKind.RUNTIME_ERROR
    return Diagnosis(kind, error_kind_of(text), index, _blame(calls[index], text, reference, tools))


def _blame(call: ToolCall, error_text: str, reference: Sequence[ToolCall], tools: Sequence[Tool]) -> str | None:
    """The parameter behind an error: what the environment's text says, else what differs from the reference."""
    if error_kind_of(error_text) in _BLAMELESS:
        return None
    matches = match_calls((call,), reference, tools)
    differing = differing_parameter(call, reference[matches[0].reference_index], tools) if matches else None
    return blamed_parameter(call, error_text) or differing


def _reference_diagnosis(
    calls: Sequence[ToolCall], reference: Sequence[ToolCall], tools: Sequence[Tool], ordered: bool
) -> Diagnosis | None:
    matches = match_calls(calls, reference, tools, ordered=ordered)
    missing = _unmatched(reference, {match.reference_index for match in matches})
    extra = _unmatched(calls, {match.call_index for match in matches})
    if missing and extra:
        return Diagnosis(FailureKind.WRONG_TOOL, call_index=extra[0])
    for match in matches:
        parameter = differing_parameter(calls[match.call_index], reference[match.reference_index], tools)
        if parameter is not None:
            return Diagnosis(FailureKind.WRONG_ARGUMENTS, call_index=match.call_index, parameter=parameter)
    if missing:
        return Diagnosis(FailureKind.MISSING_CALL)
    if extra:
        return Diagnosis(FailureKind.SUPERFLUOUS_CALL, call_index=extra[0])
    return None


def _unmatched(calls: Sequence[ToolCall], matched: set[int]) -> list[int]:
    return [index for index in range(len(calls)) if index not in matched]
