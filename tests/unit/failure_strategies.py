"""Failures of every shape, for properties: any text, nested arguments, any kind; and a few that simulators are tried on."""

from dataclasses import replace
from typing import Any

from failing import failure
from hypothesis import strategies as st

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.types import (
    Failure,
    FailureKind,
    FeedbackLevel,
    RecoveryTarget,
    RuntimeErrorKind,
    Tool,
    ToolCall,
    ToolResult,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\u2028\u2029\x85\x0b\x0c\n"\\'), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
CALLS = st.lists(st.builds(ToolCall, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3)), max_size=3).map(tuple)
FORMAT_ERRORS = st.none() | st.builds(FormatError, st.sampled_from(FormatErrorKind), TEXTS, st.integers(0, 99))


@st.composite
def failures(draw: st.DrawFn) -> Failure:
    """Anything that may go wrong."""
    calls = draw(CALLS)
    return Failure(
        task_id=draw(TEXTS),
        scenario=draw(TEXTS),
        messages=tuple(draw(st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}), max_size=3))),
        tools=tuple(draw(st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": VALUES}), max_size=2))),
        prompt_ids=(),
        completion_ids=(),
        text=draw(TEXTS),
        calls=calls,
        results=tuple(draw(st.lists(st.builds(ToolResult, TEXTS, st.booleans(), st.booleans()), max_size=2))),
        kind=draw(st.sampled_from(FailureKind)),
        error_kind=draw(st.none() | st.sampled_from(RuntimeErrorKind)),
        format_error=draw(FORMAT_ERRORS),
        call_index=draw(st.sampled_from(range(len(calls)))) if calls else None,
        reference=draw(CALLS),
        recovery_target=draw(st.sampled_from(RecoveryTarget)),
        turn=draw(st.integers(0, 9)),
        update=draw(st.integers(0, 9)),
        attempt=draw(st.integers(0, 9)),
        level=draw(st.sampled_from(FeedbackLevel)),
    )


FORMAT = FormatError(FormatErrorKind.INVALID_JSON, "The call is not valid JSON: expecting value at its end.", 3)


def find_tool() -> Tool:
    properties = {"pattern": {"type": "string"}, "depth": {"type": "integer"}}
    parameters = {"type": "object", "properties": properties, "required": ["pattern"]}
    return {"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": parameters}}


def malformed(name: str = "a") -> Failure:
    """A message that could not be read."""
    return replace(
        failure(name, kind=FailureKind.MALFORMED_CALL, error_kind=None),
        format_error=FORMAT, calls=(), results=(), call_index=None, text='<tool_call>{"name": </tool_call>',
    )  # fmt: skip


def without_pattern(scenario: str = "s") -> Failure:
    """`find` without its required parameter; the right call looks for `budget`."""
    return replace(
        failure("x", kind=FailureKind.SCHEMA_VIOLATION, error_kind=None),
        scenario=scenario, tools=(find_tool(),), calls=(ToolCall("find", {"depth": 2}),), results=(),
        reference=(ToolCall("find", {"pattern": "budget"}),),
    )  # fmt: skip


def erring(number: int, scenario: str | None = None) -> Failure:
    """The `number`th of any number of different failures, each of a scenario of its own."""
    return replace(failure(f"file{number}"), scenario=scenario or f"scenario-{number}")
