"""What feedback is worth, on an example that can be counted by hand."""

from collections.abc import Sequence

import pytest
from failing import failure
from failure_strategies import without_pattern

from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.training.simulator.measures import (
    MEASURES,
    confusion,
    diagnoses,
    judge,
    majority_agreement,
    mean_words,
    measure,
    records_of,
)
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel

RUNTIME = FailureKind.RUNTIME_ERROR
SCHEMA = FailureKind.SCHEMA_VIOLATION
WRONG_TOOL = FailureKind.WRONG_TOOL


def says(text: str, kind: FailureKind | None) -> Feedback:
    return Feedback(text, "local", FeedbackLevel.FULL, kind)


CASES: list[tuple[Failure, Feedback]] = [
    # the environment's own words do not count as the simulator's
    (failure("a"), says("error: no a\nNo such file: check file_name.", RUNTIME)),
    (failure("b"), says("error: no b\nThe call was wrong.", WRONG_TOOL)),
    (failure("c"), fixed_feedback(replaced="local", reason="no_json")),
    (without_pattern("t"), says("missing parameter: pattern is required.", SCHEMA)),
    (without_pattern("t"), says("set pattern to 'budget'.", SCHEMA)),  # a leak
    (without_pattern("u"), says("a parameter is missing, patterns differ.", SCHEMA)),  # names no parameter
    (failure("d", kind=WRONG_TOOL, error_kind=None), says("another tool is needed.", WRONG_TOOL)),
]
FAILURES = [each for each, _ in CASES]


def test_every_measure_by_hand() -> None:
    found = measure(judge(FAILURES, [feedback for _, feedback in CASES]))
    assert {name: f"{ratio.numerator}/{ratio.denominator}" for name, ratio in found.items()} == {
        "usable": "6/7",
        "leak_exact": "1/6",
        "leak_normalised": "1/6",
        "leak": "1/6",
        "agreement": "4/6",  # the wrong tool is a matter of the reference; what could not be used is wrong
        "agreement_all": "5/7",
        "specificity": "3/6",  # of those whose parameter at fault is known
        "sound": "4/7",
    }


def test_specificity_wants_the_parameter_as_a_word() -> None:
    judged = judge(FAILURES, [feedback for _, feedback in CASES])
    schema = [each for each in judged if each.failure.kind is SCHEMA]
    assert [each.parameter for each in schema] == ["pattern"] * 3
    assert [each.names_parameter for each in schema] == [True, True, False]


def test_confusion_says_what_was_taken_for_what() -> None:
    judged = judge([*FAILURES, failure("e")], [*(feedback for _, feedback in CASES), says("error: no e", None)])
    assert confusion(judged) == {
        "runtime_error": {"runtime_error": 1, "wrong_tool": 1, "(unusable)": 1, "(none)": 1},
        "schema_violation": {"schema_violation": 3},
        "wrong_tool": {"wrong_tool": 1},
    }


def test_the_majority_is_that_of_the_checked_kinds() -> None:
    assert majority_agreement(FAILURES) == Ratio(3, 6)
    assert majority_agreement([]) == Ratio(0, 0)
    assert majority_agreement([failure("d", kind=WRONG_TOOL)]) == Ratio(0, 0)


def test_words_are_the_simulators_own() -> None:
    assert mean_words(judge(FAILURES[:2], [CASES[0][1], CASES[1][1]])) == (5 + 4) / 2
    assert mean_words(judge(FAILURES[2:3], [CASES[2][1]])) == 0.0


def test_records_sum_to_the_measures() -> None:
    judged = judge(FAILURES, [feedback for _, feedback in CASES])
    records, found = records_of(judged), measure(judged)
    for name in MEASURES:
        assert sum((Ratio(*record.counts[name]) for record in records), Ratio()) == found[name]
    assert [record.scenario for record in records] == ["s", "s", "s", "t", "t", "u", "s"]


def test_a_simulator_that_fails_altogether_was_usable_for_nothing() -> None:
    class Down:
        name = "endpoint"

        def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
            raise InfrastructureError("down")

    judged = judge(FAILURES, diagnoses(Down(), FAILURES))
    assert measure(judged)["usable"] == Ratio(0, 7)
    assert measure(judged)["sound"] == Ratio(0, 7)
    assert measure(judged)["leak"] == Ratio(0, 0)


def test_as_many_feedbacks_as_failures() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judge(FAILURES, [CASES[0][1]])
