"""The leak guard: planted leaks are caught in many phrasings, and honest feedback passes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.simulators.leak import LeakKind, leaks
from fission_grpo.types import Failure, FailureKind, ToolCall, ToolResult


def failure(
    *calls: ToolCall,
    reference: tuple[ToolCall, ...],
    error: str | None = None,
    text: str = "",
    format_error: FormatError | None = None,
) -> Failure:
    results = () if error is None else (ToolResult(error, is_error=True),)
    kind = FailureKind.WRONG_ARGUMENTS if format_error is None else FailureKind.MALFORMED_CALL
    return Failure("t", "s", (), (), (), (), text, calls, results, kind, format_error=format_error, reference=reference)


def cd(folder: Any) -> ToolCall:
    return ToolCall("cd", {"folder": folder})


BOUND = [
    "{p}={v}",
    "{p} = '{v}'",
    "{p}: {v}",
    '"{p}": "{v}"',
    "{{'{p}': '{v}'}}",
    "{p} should be {v}",
    "{p} must be set to {v}.",
    "the {p} is {v}",
    "use {v} for {p}",
    "Use `{v}` as the {p} parameter.",
    "pass {v} to {p}",
    "expected {p} of {v}",
    "**{p}** -> **{v}**",
    "error: invalid value.\n{p}:\n    {v}",
    "The value of {p} has to be {v}",
    "{v} is the correct {p}",
    "{t}({v})",
    "{t}({p}={v})",
    'call {t} with {{"{p}" : "{v}"}}',
]
"""Phrasings that bind a value explicitly, so that even short values and booleans count."""

NEAR = [
    "for the {p} that the user has in mind, look at {v}",
    "did you mean {v}?",
    "try {v}",
    "the correct value is {v}",
    "there is something named {v} which fits {p} better",
]
"""Phrasings that give a longer value away."""

LONG = ["docs", "Quarterly Report.txt", "a.b-c/d", "2024-11-05", 1250, 0.75, -320]
SHORT = ["ab", "x", 5, 0, -1, True, False]


@pytest.mark.parametrize("template", BOUND + NEAR)
@pytest.mark.parametrize("value", LONG)
def test_long_values_are_caught(template: str, value: Any) -> None:
    planted = template.format(p="folder", v=value, t="cd")
    found = leaks(planted, failure(cd("wrong one"), reference=(cd(value),)))
    assert found is not None
    assert (found.kind, found.parameter) == (LeakKind.VALUE, "folder")


@pytest.mark.parametrize("template", BOUND)
@pytest.mark.parametrize("value", SHORT)
def test_short_values_are_caught_when_bound(template: str, value: Any) -> None:
    planted = template.format(p="folder", v=value, t="cd")
    assert leaks(planted, failure(cd("wrong one"), reference=(cd(value),))) is not None


@pytest.mark.parametrize("value", SHORT)
def test_short_values_pass_when_not_bound(value: Any) -> None:
    text = f"error: wrong arguments. tool: cd. step {value} of the list went wrong, check what the user asked for. "
    assert leaks(text, failure(cd("wrong one"), reference=(cd(value),))) is None


WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9).map("q".__add__)
NAME = st.lists(WORD, min_size=1, max_size=3).map("_".join)


@given(NAME, NAME, WORD, WORD, st.sampled_from(BOUND + NEAR), st.sampled_from([str.upper, str.title, str.lower]))
def test_planted_values_are_caught(tool: str, parameter: str, value: str, wrong: str, template: str, case: Any) -> None:
    item = failure(ToolCall(tool, {parameter: wrong}), reference=(ToolCall(tool, {parameter: value}),))
    planted = "error: invalid value. " + template.format(p=parameter, v=case(value), t=tool)
    assert (leaks(planted, item) is None) == (value == wrong)


@given(NAME, WORD, st.sampled_from(["call {t} first", "{t}()", "use the `{t}` tool", '{{"name": "{t}"}}', "Try {t}."]))
def test_planted_tools_are_caught(tool: str, other: str, template: str) -> None:
    item = failure(ToolCall(other, {}), reference=(ToolCall(tool, {}),))
    for name in (tool, tool.replace("_", " "), tool.replace("_", "-"), tool.upper()):
        found = leaks("error: wrong tool. " + template.format(t=name), item)
        assert (found is None) == (tool == other)
        assert found is None or found.kind is LeakKind.TOOL


def test_camel_case_names_are_caught_in_words() -> None:
    item = failure(reference=(ToolCall("startEngine", {}),))
    assert leaks("you have to start engine first", item) is not None
    assert leaks("the engine has not been started", item) is None


def test_swapping_values_is_caught_without_naming_the_parameter() -> None:
    item = failure(cd("tmp"), reference=(cd("docs"),))
    assert leaks("'docs', not 'tmp'", item) is not None
    assert leaks("replace 'tmp' by 'docs'", item) is not None
    assert leaks("tmp does not exist", item) is None


def test_nested_values_and_lists_are_caught() -> None:
    call = ToolCall("edit_ticket", {"updates": {"status": "Resolved", "tags": ["urgent", "billing"]}})
    item = failure(ToolCall("edit_ticket", {"updates": {}}), reference=(call,))
    assert leaks("status should be resolved", item) is not None
    assert leaks("tags: [billing]", item) is not None
    assert leaks("error: wrong arguments. tool: edit_ticket. parameter: updates.", item) is None


def test_what_the_environment_said_is_no_leak() -> None:
    error = '{"error": "cd: \'tmp\' not found. Here are the folders: docs, music. Call ls."}'
    item = failure(cd("tmp"), reference=(cd("docs"), ToolCall("ls", {})), error=error)
    assert leaks(error, item) is None
    assert leaks(f"{error}\nerror: not found. tool: cd. parameter: folder.", item) is None
    assert leaks("folder: docs. call ls.", item) is None
    unsaid = failure(cd("tmp"), reference=(cd("docs"),), error="cd: 'tmp' not found")
    assert leaks("folder: docs", unsaid) is not None


def test_a_short_value_in_the_environments_text_excuses_only_what_that_text_binds() -> None:
    call, wrong = ToolCall("create_ticket", {"priority": 5}), ToolCall("create_ticket", {"priority": 9})
    said = '{"error": "Invalid priority. Priority must be between 1 and 5."}'
    assert leaks(f"{said}\npriority should be 5", failure(wrong, reference=(call,), error="5 errors occurred.")) is not None
    assert leaks(said, failure(wrong, reference=(call,), error=said)) is None


def test_what_the_failed_message_passed_itself_is_no_leak() -> None:
    mv = ToolCall("mv", {"source": "a.txt", "destination": "archive"})
    item = failure(ToolCall("mv", {"source": "a.txt", "destination": "old"}), reference=(mv,))
    assert leaks("mv: source: a.txt", item) is None
    assert leaks("mv: destination: archive", item) is not None
    swapped = failure(ToolCall("mv", {"source": "archive", "destination": "a.txt"}), reference=(mv,))
    assert leaks("source: a.txt", swapped) is not None


def test_a_reference_value_inside_a_value_of_the_failed_message_is_not_found_there() -> None:
    item = failure(cd("old/docs"), reference=(cd("docs"),))
    assert leaks("cd: old/docs: only one folder level at a time. parameter: folder.", item) is None
    assert leaks("cd: old/docs: no such folder. use docs.", item) is not None


def test_a_malformed_message_may_be_quoted() -> None:
    error = FormatError(FormatErrorKind.INVALID_JSON, "The call is not valid JSON.")
    item = failure(reference=(cd("docs"),), text='{"name": "cd", "arguments": {"folder": "docs"', format_error=error)
    assert leaks('not valid JSON near \'"folder": "docs"\' in cd', item) is None
    assert leaks("folder: docs. call cd.", failure(reference=(cd("docs"),), text="{", format_error=error)) is not None


def test_numbers_are_not_found_inside_others() -> None:
    item = failure(ToolCall("add", {"a": 1}), reference=(ToolCall("add", {"a": 125}),))
    assert leaks("a: 1250", item) is None
    assert leaks("a: 125.5", item) is None
    assert leaks("a: 125.", item) is not None
    assert leaks("a: 125.0", failure(reference=(ToolCall("f", {"a": 125.0}),))) is not None


@given(st.text(), st.text(), st.text(max_size=30))
def test_any_text_is_judged(feedback: str, value: str, error: str) -> None:
    item = failure(cd("x"), reference=(cd(value),), error=error)
    assert leaks(error, item) is None
    leaks(feedback, item)


def test_the_fixed_sentence_tells_nothing() -> None:
    assert leaks(FIXED_TEXT, failure(cd("tmp"), reference=(cd("docs"), ToolCall("ls", {})))) is None
