"""The rules simulator: what it says at each level, and that it never gives the answer away."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fission_grpo.chat.parsing import parse_message
from fission_grpo.chat.schema import ViolationKind
from fission_grpo.failures import classify_step
from fission_grpo.simulators import rules
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.simulators.leak import leaks
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.types import Failure, FailureKind, FeedbackLevel, RuntimeErrorKind, Tool, ToolCall, ToolResult


def tool(name: str, **types: str) -> Tool:
    properties = {parameter: {"type": kind} for parameter, kind in types.items()}
    schema = {"type": "object", "properties": properties, "required": list(types)[:1]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = (
    tool("get_ticket", ticket_id="integer"),
    tool("create_ticket", title="string", priority="integer"),
    tool("ticket_login", username="string", password="string"),
    tool("mv", source="string", destination="string"),
    tool("ls", a="boolean"),
)
ERRORS = [
    '{"error": "User not authenticated. Please log in to create a ticket."}',
    '{"error": "Ticket with ID 77 not found."}',
    "Error during execution: something odd",
]


def failure_of(
    text: str, reference: tuple[ToolCall, ...] = (), error: str | None = None, previous: tuple[ToolCall, ...] = ()
) -> Failure | None:
    """The failure that a message makes, as rollouts find it."""
    message = parse_message(text)
    results = (ToolResult(error, is_error=True),) if error and message.calls else ()
    found = classify_step(message.calls, message.error, results, reference, TOOLS, previous_failing_calls=previous)
    if found is None:
        return None
    return Failure(
        "t", "s", (), TOOLS, (), (), text, message.calls, results, found.kind,
        error_kind=found.error_kind, format_error=message.error, call_index=found.call_index, reference=reference,
    )  # fmt: skip


def written(*calls: ToolCall) -> str:
    bodies = (json.dumps({"name": call.name, "arguments": call.arguments}) for call in calls)
    return "".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)


def feedback(item: Failure | None, level: FeedbackLevel = FeedbackLevel.FULL, **options: bool) -> str:
    assert item is not None
    return RulesSimulator(**options).diagnose([replace(item, level=level)])[0].text


TICKET = ToolCall("get_ticket", {"ticket_id": 77})
MV = ToolCall("mv", {"source": "a.txt", "destination": "archive"})


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (FeedbackLevel.RAW, ERRORS[1]),
        (FeedbackLevel.KIND, f"{ERRORS[1]}\nerror: not found."),
        (FeedbackLevel.PARAMETER, f"{ERRORS[1]}\nerror: not found. tool: get_ticket. parameter: ticket_id."),
        (
            FeedbackLevel.FULL,
            f"{ERRORS[1]}\nerror: not found. tool: get_ticket. parameter: ticket_id."
            " look up what is there, then call again.",
        ),
    ],
)
def test_the_levels_of_a_runtime_error(level: FeedbackLevel, text: str) -> None:
    assert feedback(failure_of(written(TICKET), (TICKET,), ERRORS[1]), level) == text


@pytest.mark.parametrize(
    ("message", "reference", "text"),
    [
        (
            written(ToolCall("mv", {"source": "a.txt", "destination": "old"})),
            (MV,),
            "error: wrong arguments. tool: mv. parameter: destination. check the arguments against the request.",
        ),
        (
            written(ToolCall("mv", {})),
            (MV,),
            "error: missing parameter. tool: mv. parameter: source. this parameter is required.",
        ),
        (written(ToolCall("move", {})), (MV,), "error: unknown tool. tool: move. choose one of the tools on offer."),
        (written(ToolCall("ls", {"a": True})), (MV,), "error: wrong tool. tool: ls. choose another tool."),
        ("All done.", (MV,), "error: missing call. a call is needed here."),
        (written(MV), (MV, TICKET), "error: missing call. more calls are needed."),
        (written(MV, TICKET), (MV,), "error: call not needed. tool: get_ticket. leave this call out."),
        (written(MV), (), "error: call not needed. tool: mv. no call is needed here."),
    ],
)
def test_full_diagnoses(message: str, reference: tuple[ToolCall, ...], text: str) -> None:
    item = failure_of(message, reference)
    assert feedback(item) == text
    assert feedback(item, FeedbackLevel.RAW) == FIXED_TEXT


def test_a_repeated_call_is_told_so() -> None:
    item = failure_of(written(TICKET), (TICKET,), ERRORS[0], previous=(TICKET,))
    assert feedback(item, include_error_text=False) == (
        "error: same call failed again: missing login. tool: get_ticket."
        " do not repeat it before something has changed. log in first, then repeat the call."
    )


def test_a_malformed_message_gets_the_parsers_sentence_at_every_level() -> None:
    item = failure_of('<tool_call>{"name": "mv"', (MV,))
    assert item is not None and item.format_error is not None
    for level in FeedbackLevel:
        assert item.format_error.detail in feedback(item, level)


def test_hostile_names_are_not_repeated() -> None:
    call = ToolCall("mv", {"source": "a.txt", "x" * 1000: "1"})
    assert (
        feedback(failure_of(written(call), (MV,))) == "error: unknown parameter. tool: mv. the tool has no such parameter."
    )
    spaced = ToolCall("mv", {"source": "a.txt", "destination: archive": "1"})
    assert "archive" not in feedback(failure_of(written(spaced), (MV,)))


def test_the_diagnosed_kind_is_claimed_only_above_raw() -> None:
    item = failure_of(written(TICKET), (TICKET,), ERRORS[1])
    assert item is not None
    kinds = [RulesSimulator().diagnose([replace(item, level=level)])[0].kind for level in FeedbackLevel]
    assert kinds == [None, *[FailureKind.RUNTIME_ERROR] * 3]


def test_every_kind_has_its_sentences() -> None:
    by_error = {FailureKind.RUNTIME_ERROR, FailureKind.REPEATED_FAILING_CALL}
    assert rules.PROBLEMS.keys() == rules.HINTS.keys() == set(FailureKind) - by_error
    assert rules.RUNTIME_PROBLEMS.keys() == rules.RUNTIME_HINTS.keys() == set(RuntimeErrorKind)
    assert rules.SCHEMA_PROBLEMS.keys() == rules.SCHEMA_HINTS.keys() == set(ViolationKind)


WORDS = st.text("qxzjkw", min_size=3, max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(100, 10**6),
    "string": st.one_of(WORDS, st.tuples(WORDS, WORDS).map(" ".join)),
    "boolean": st.booleans(),
}


@st.composite
def calls(draw: st.DrawFn) -> ToolCall:
    function = draw(st.sampled_from(TOOLS))["function"]
    properties = function["parameters"]["properties"]
    kept = draw(st.lists(st.sampled_from(list(properties)), unique=True))
    arguments = {name: draw(VALUES[draw(st.sampled_from([properties[name]["type"]] * 4 + ["string"]))]) for name in kept}
    name = draw(st.sampled_from([function["name"]] * 5 + ["fetch"]))
    return ToolCall(name, arguments)


@st.composite
def failures(draw: st.DrawFn) -> Failure:
    made = draw(st.lists(calls(), max_size=2))
    reference = tuple(draw(st.lists(calls(), max_size=3)))
    broken = draw(st.sampled_from([None] * 4 + ["</tool_call>", "}", '"name"']))
    text = written(*made) if broken is None else written(*made).replace(broken, "", 1)
    previous = tuple(made) if draw(st.booleans()) else ()
    item = failure_of(text, reference, draw(st.sampled_from([None, *ERRORS])), previous)
    assume(item is not None)
    assert item is not None
    return replace(item, level=draw(st.sampled_from(FeedbackLevel)))


def shows(text: str, what: object) -> bool:
    return re.search(rf"(?<!\w){re.escape(str(what))}(?!\w)", text, re.IGNORECASE) is not None


@given(failures())
def test_never_leaks(item: Failure) -> None:
    text = RulesSimulator().diagnose([item])[0].text
    assert leaks(text, item) is None
    # And by a plainer measure that does not share the guard's code: no value of the reference stands in our own words, and
    # no tool of it but those that the message named itself.
    own_words = text.removeprefix(item.error_text or "")
    if item.format_error is None:
        values = [value for call in item.reference for value in call.arguments.values() if not isinstance(value, bool)]
        assert [value for value in values if shows(own_words, value)] == []
        missed = {call.name for call in item.reference} - {call.name for call in item.calls}
        assert [name for name in missed if shows(own_words, name)] == []


@given(failures())
def test_every_level_adds_to_the_one_below(item: Failure) -> None:
    levels = [FeedbackLevel.KIND, FeedbackLevel.PARAMETER, FeedbackLevel.FULL]
    kind, parameter, full = (rules.diagnosis_text(item, level) for level in levels)
    assert parameter.startswith(kind) and full.startswith(parameter)
    assert len(full) > len(parameter)


def test_no_sentence_holds_the_name_of_a_benchmark_tool() -> None:
    bfcl_eval = pytest.importorskip("bfcl_eval")
    folder = Path(bfcl_eval.__path__[0]) / "data/multi_turn_func_doc"
    names = {json.loads(line)["name"] for file in folder.glob("*.json") for line in file.read_text().splitlines()}
    assert len(names) > 100
    tables = (
        rules.PROBLEMS,
        rules.HINTS,
        rules.RUNTIME_PROBLEMS,
        rules.RUNTIME_HINTS,
        rules.SCHEMA_PROBLEMS,
        rules.SCHEMA_HINTS,
    )
    sentences = [sentence for table in tables for sentence in table.values()]
    sentences += [rules.REPEATED_PROBLEM, rules.REPEATED_HINT, rules.NO_CALL_NEEDED_HINT, rules.MORE_CALLS_HINT, FIXED_TEXT]
    sentences += ["tool: x. parameter: x."]
    named = [(s, n) for s in sentences for n in names if leaks(s, _only_reference(n)) is not None]
    assert named == []


def _only_reference(name: str) -> Failure:
    return Failure("t", "s", (), (), (), (), "", (), (), FailureKind.MISSING_CALL, reference=(ToolCall(name, {}),))
