"""The taxonomy: precedence, error kinds over the real error texts, failure points."""

import ast
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.failures import (
    Diagnosis,
    answered_by_benchmark,
    blamed_parameter,
    classify_step,
    error_kind_of,
    failure_point,
    parameter_at_fault,
)
from fission_grpo.rewards.correctness import correctness
from fission_grpo.types import (
    Completion,
    Failure,
    FailureKind,
    RuntimeErrorKind,
    Step,
    StopReason,
    Tool,
    ToolCall,
    ToolResult,
    Trajectory,
    Verdict,
)


def tool(name: str, *parameters: str) -> Tool:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = (tool("cd", "folder"), tool("mv", "source", "destination"), tool("ls"))
CD, LS = ToolCall("cd", {"folder": "docs"}), ToolCall("ls", {})
MV = ToolCall("mv", {"source": "a.txt", "destination": "old"})
OK = ToolResult("None")
NOT_FOUND = ToolResult('{"error": "mv: cannot move \'a.txt\': No such file or directory"}', is_error=True)
MALFORMED = FormatError(FormatErrorKind.EMPTY_CALL, "There is nothing between the tags.")


def diagnose(
    calls: Sequence[ToolCall],
    results: Sequence[ToolResult] = (),
    reference: Sequence[ToolCall] | None = (CD,),
    **options: object,
) -> Diagnosis | None:
    return classify_step(calls, None, results, reference, TOOLS, **options)  # type: ignore[arg-type]


def test_a_right_step_has_no_diagnosis() -> None:
    assert diagnose([CD], [OK]) is None
    assert diagnose([], [], ()) is None
    assert diagnose([LS, CD], [OK, OK], [CD, LS]) is None


def test_precedence_from_format_to_environment() -> None:
    unknown, invalid = ToolCall("chdir", {"folder": "docs"}), ToolCall("cd", {"folder": 3})
    malformed = classify_step([], MALFORMED, [], [CD], TOOLS)
    assert malformed == Diagnosis(FailureKind.MALFORMED_CALL)
    assert diagnose([invalid, unknown], [NOT_FOUND]) == Diagnosis(FailureKind.UNKNOWN_TOOL, call_index=1)
    assert diagnose([MV, invalid], [NOT_FOUND]) == Diagnosis(FailureKind.SCHEMA_VIOLATION, call_index=1, parameter="folder")
    error = Diagnosis(FailureKind.RUNTIME_ERROR, RuntimeErrorKind.NOT_FOUND, call_index=1, parameter="source")
    assert diagnose([LS, MV], [OK, NOT_FOUND]) == error
    repeated = diagnose([LS, MV], [OK, NOT_FOUND], previous_failing_calls=[MV])
    assert repeated is not None and repeated.kind is FailureKind.REPEATED_FAILING_CALL
    other = ToolCall("mv", {"source": "b.txt", "destination": "old"})
    assert diagnose([LS, MV], [OK, NOT_FOUND], previous_failing_calls=[other]) == error


def test_a_repeated_call_that_now_works_is_no_failure() -> None:
    assert diagnose([CD], [OK], previous_failing_calls=[CD]) is None


@pytest.mark.parametrize(
    ("calls", "reference", "expected"),
    [
        ([LS], [CD], Diagnosis(FailureKind.WRONG_TOOL, call_index=0)),
        ([CD, LS], [CD, MV], Diagnosis(FailureKind.WRONG_TOOL, call_index=1)),
        (
            [ToolCall("cd", {"folder": "tmp"})],
            [CD, LS],
            Diagnosis(FailureKind.WRONG_ARGUMENTS, call_index=0, parameter="folder"),
        ),
        ([], [CD], Diagnosis(FailureKind.MISSING_CALL)),
        ([CD], [CD, LS], Diagnosis(FailureKind.MISSING_CALL)),
        ([CD, LS], [CD], Diagnosis(FailureKind.SUPERFLUOUS_CALL, call_index=1)),
        ([LS], [], Diagnosis(FailureKind.SUPERFLUOUS_CALL, call_index=0)),
        ([LS], None, None),
    ],
)
def test_comparison_with_the_reference(
    calls: list[ToolCall], reference: list[ToolCall] | None, expected: Diagnosis | None
) -> None:
    assert diagnose(calls, [OK] * len(calls), reference) == expected


def test_order_counts_only_when_asked_for() -> None:
    found = diagnose([LS, CD], [OK, OK], [CD, LS], ordered=True)
    assert found is not None and found.kind is FailureKind.WRONG_TOOL


def test_the_step_limit_comes_last() -> None:
    assert diagnose([CD], [OK], at_step_limit=True) == Diagnosis(FailureKind.STEP_LIMIT)
    assert diagnose([LS], [OK], at_step_limit=True) == Diagnosis(FailureKind.WRONG_TOOL, call_index=0)


CALLS = st.builds(
    ToolCall,
    st.sampled_from(["cd", "ls", "mv"]),
    st.dictionaries(st.sampled_from(["folder", "source"]), st.sampled_from("ab")),
)


@given(st.lists(CALLS, max_size=3), st.lists(CALLS, max_size=3), st.booleans())
def test_without_schema_every_step_short_of_right_is_diagnosed(
    calls: list[ToolCall], reference: list[ToolCall], ordered: bool
) -> None:
    """A step has a diagnosis exactly when R_corr is below 1."""
    anything = {"type": "object", "additionalProperties": True}
    open_tools = [{"type": "function", "function": {"name": name, "parameters": anything}} for name in ("cd", "ls", "mv")]
    found = classify_step(calls, None, [OK] * len(calls), reference, open_tools, ordered=ordered)
    assert (found is None) == (correctness(calls, reference, open_tools, ordered=ordered) == 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{\"error\": \"cat: 'already exists.txt': No such file or directory\"}", RuntimeErrorKind.NOT_FOUND),
        ('{"error": "User not authenticated. Please log in to create a ticket."}', RuntimeErrorKind.LOGIN_REQUIRED),
        ("[{'error': 'User not authenticated. Please authenticate before posting.'}]", RuntimeErrorKind.LOGIN_REQUIRED),
        ('{"error": "Invalid username or password."}', RuntimeErrorKind.LOGIN_FAILED),
        ('{"error": "mkdir: cannot create directory \'a\': File exists"}', RuntimeErrorKind.ALREADY_EXISTS),
        ('{"error": "Invalid priority. Priority must be between 1 and 5."}', RuntimeErrorKind.INVALID_VALUE),
        ('{"error": "Both inputs must be numbers"}', RuntimeErrorKind.INVALID_TYPE),
        ("Error during execution: can only concatenate str (not \"int\") to str", RuntimeErrorKind.INVALID_TYPE),
        ('{"error": "Brake pedal needs to be pressed when starting the engine."}', RuntimeErrorKind.PRECONDITION),
        ('{"error": "Ticket with ID 3 is already closed."}', RuntimeErrorKind.PRECONDITION),
        ("Error: Not enough seats on flight HAT001", RuntimeErrorKind.PRECONDITION),
        ("Error: Flight HAT001 not available on date 2024-05-20", RuntimeErrorKind.NOT_FOUND),
        ("Error: The number of items to be exchanged should match.", RuntimeErrorKind.INVALID_VALUE),
        ("Error: the quux frobbed", RuntimeErrorKind.OTHER),
        ("", RuntimeErrorKind.OTHER),
    ],
)  # fmt: skip
def test_error_kinds(text: str, kind: RuntimeErrorKind) -> None:
    assert error_kind_of(text) is kind


def test_every_error_text_of_the_benchmark_has_a_kind() -> None:
    """All error templates in bfcl-eval's multi-turn API classes, read from their source."""
    bfcl_eval = pytest.importorskip("bfcl_eval")
    folder = Path(bfcl_eval.__path__[0]) / "eval_checker/multi_turn_eval/func_source_code"
    modules = ("gorilla_file_system", "math_api", "message_api", "posting_api")
    modules += ("ticket_api", "trading_bot", "travel_booking", "vehicle_control")
    templates = [text for module in modules for text in error_templates((folder / f"{module}.py").read_text())]
    assert len(templates) > 120
    assert [text for text in templates if error_kind_of(text) is RuntimeErrorKind.OTHER] == []


@pytest.mark.parametrize("domain", ["retail", "airline", "telecom"])
def test_every_error_text_of_tau2_has_a_kind(domain: str) -> None:
    """All that its tools raise, read from their source."""
    spec = find_spec("tau2")
    assert spec is not None and spec.submodule_search_locations
    source = (Path(spec.submodule_search_locations[0]) / "domains" / domain / "tools.py").read_text(encoding="utf-8")
    raised = [node.exc for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    texts = ["X".join(string_parts(each.args[0])) for each in raised if isinstance(each, ast.Call) and each.args]
    assert len(texts) > 15
    assert [text for text in texts if error_kind_of(f"Error: {text}") is RuntimeErrorKind.OTHER] == []


def error_templates(source: str) -> list[str]:
    """The values of every `"error"` key, with placeholders left blank; texts that only pass an exception on are left out."""
    values = [
        value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "error"
    ]
    texts = [" ".join(string_parts(value)) for value in values if not isinstance(value, ast.Call)]
    return [text for text in texts if text and not text.startswith("KeyError")]


def string_parts(value: ast.expr) -> list[str]:
    return [part.value for part in ast.walk(value) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def test_a_parameter_is_blamed_only_where_the_text_is_clear() -> None:
    assert blamed_parameter(MV, "mv: cannot move 'a.txt': No such file") == "source"
    assert blamed_parameter(MV, "mv: destination is no folder") == "destination"
    assert blamed_parameter(MV, "mv: cannot move 'a.txt' to 'old': File exists") is None
    assert blamed_parameter(MV, "something else") is None


def test_the_reference_names_the_parameter_that_the_text_does_not() -> None:
    text = '{"error": "Booking not found"}'
    reference = (ToolCall("mv", {"source": "a.txt", "destination": "new"}),)
    diagnosis = diagnose([MV], [ToolResult(text, is_error=True)], reference)
    assert diagnosis is not None and diagnosis.parameter == "destination"
    login = ToolResult('{"error": "User not authenticated."}', is_error=True)
    diagnosis = diagnose([MV], [login], reference)
    assert diagnosis is not None and diagnosis.parameter is None


@given(st.lists(CALLS, max_size=2), st.lists(CALLS, max_size=2), st.booleans())
def test_a_failure_keeps_the_parameter_of_its_diagnosis(
    calls: list[ToolCall], reference: list[ToolCall], errs: bool
) -> None:
    results = (NOT_FOUND,) if errs and calls else ()
    diagnosis = diagnose(calls, results, reference)
    if diagnosis is None:
        return
    failure = Failure(
        "t", "s", (), TOOLS, (), (), "", tuple(calls), results, diagnosis.kind,
        error_kind=diagnosis.error_kind, call_index=diagnosis.call_index, reference=tuple(reference),
    )  # fmt: skip
    assert parameter_at_fault(failure) == diagnosis.parameter


def test_unanswered_failures() -> None:
    unanswered = {kind for kind in FailureKind if not answered_by_benchmark(kind)}
    assert unanswered == {FailureKind.MALFORMED_CALL, FailureKind.MISSING_CALL}


def trajectory(
    *results: Sequence[ToolResult],
    solved: bool = False,
    stop_reason: StopReason = StopReason.COMPLETED,
    verdict: bool = True,
    turns: Sequence[int] = (),
    right: Sequence[bool] = (),
) -> Trajectory:
    """`turns` of the steps (default: all 0), and which turns are right (default: the one turn is as `solved` says)."""
    completion = Completion((1,), (0.0,), StopReason.END)
    of_steps = zip(turns or [0] * len(results), results, strict=True)
    steps = tuple(Step(turn, (0,), completion, "", (LS,) * len(step), None, tuple(step)) for turn, step in of_steps)
    judged = Verdict(solved, tuple(right) or (solved,))
    return Trajectory("t", "s", steps, (), stop_reason, judged if verdict else None)


def test_failure_point() -> None:
    soft = ToolResult('{"login_status": false}', is_soft_failure=True)
    assert failure_point(trajectory([OK], [OK, NOT_FOUND], [NOT_FOUND], [OK])) == 1
    assert failure_point(trajectory([OK], [soft], [OK])) == 2
    assert failure_point(trajectory([OK], [OK], stop_reason=StopReason.STEP_LIMIT)) == 1
    assert failure_point(trajectory()) is None


def test_an_error_that_was_put_right_is_no_failure_point() -> None:
    steps = [NOT_FOUND], [OK], [OK], [NOT_FOUND], [OK]
    assert failure_point(trajectory(*steps, turns=(0, 0, 1, 1, 1), right=(True, False))) == 3


def test_a_turn_that_went_wrong_without_an_error_fails_at_its_end_whatever_errs_later() -> None:
    assert failure_point(trajectory([OK], [OK], [NOT_FOUND], turns=(0, 0, 1), right=(False, False))) == 1


def test_an_episode_broken_off_fails_in_the_turn_that_was_open() -> None:
    steps = [NOT_FOUND], [OK], [NOT_FOUND]
    cut = trajectory(*steps, turns=(0, 0, 1), right=(True,), stop_reason=StopReason.TOKEN_LIMIT)
    assert failure_point(cut) == 2
    assert failure_point(trajectory([NOT_FOUND], [OK], right=(True,), stop_reason=StopReason.TOKEN_LIMIT)) is None


def test_a_solved_episode_has_no_failure_point() -> None:
    assert failure_point(trajectory([OK], [NOT_FOUND], [OK], solved=True)) is None


def test_infrastructure_failures_are_masked() -> None:
    assert failure_point(trajectory([NOT_FOUND], stop_reason=StopReason.INFRASTRUCTURE)) is None
    assert failure_point(trajectory([NOT_FOUND], verdict=False)) is None
