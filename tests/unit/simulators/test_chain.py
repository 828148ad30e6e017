"""The fallback chain, and simulators by name."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.simulators import (
    EnvironmentSimulator,
    FallbackChain,
    FixedSimulator,
    RulesSimulator,
    make_chain,
    make_simulator,
)
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel, ToolCall, ToolResult


def failure(error: str | None = None, answer: str = "docs") -> Failure:
    results = () if error is None else (ToolResult(error, is_error=True),)
    calls, reference = (ToolCall("cd", {"folder": "tmp"}),), (ToolCall("cd", {"folder": answer}),)
    return Failure(
        "t", "s", (), (), (), (), "", calls, results, FailureKind.WRONG_ARGUMENTS, call_index=0, reference=reference
    )


class Scripted:
    """Says the same of every failure, and remembers how often it was asked about how many."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.batches: list[int] = []

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        self.batches.append(len(failures))
        return [Feedback(self.text, self.name, FeedbackLevel.FULL)] * len(failures)


class Down:
    name = "endpoint"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        raise InfrastructureError("no answer from the endpoint")


def test_the_fixed_sentence_is_the_papers() -> None:
    found = FixedSimulator().diagnose([failure(), failure("x")])
    assert [item.text for item in found] == ["error: you made a mistake. please try again."] * 2


def test_the_environment_speaks_where_a_call_erred_and_steps_aside_elsewhere() -> None:
    spoken, silent = EnvironmentSimulator().diagnose([failure("cd: no such folder"), failure()])
    assert (spoken.text, spoken.source, spoken.replaced) == ("cd: no such folder", "environment", None)
    assert (silent.text, silent.source, silent.replaced) == (FIXED_TEXT, "fixed", "environment")


def test_each_failure_goes_to_the_first_that_answers() -> None:
    chain = FallbackChain([EnvironmentSimulator(), RulesSimulator(), FixedSimulator()])
    first, second = chain.diagnose([failure(), failure("cd: no such folder")])
    assert (first.source, first.replaced) == ("rules", "environment")
    assert (second.source, second.replaced) == ("environment", None)
    assert chain.counts == {"unanswered/environment": 1, "answered/environment": 1, "answered/rules": 1}


def test_a_leak_falls_to_the_next_in_one_batch() -> None:
    leaky, honest = Scripted("leaky", "folder should be docs"), Scripted("honest", "look again")
    chain = FallbackChain([leaky, honest])
    found = chain.diagnose([failure(answer="docs"), failure(answer="music"), failure(answer="docs")])
    assert [item.source for item in found] == ["honest", "leaky", "honest"]
    assert [item.replaced for item in found] == ["leaky", None, "leaky"]
    assert (leaky.batches, honest.batches) == ([3], [2])
    assert chain.counts == {"leaked/leaky": 2, "answered/leaky": 1, "answered/honest": 2}


def test_a_simulator_that_answers_under_another_source_stands_in_for_nobody() -> None:
    (found,) = FallbackChain([make_chain(["rules"])]).diagnose([failure()])
    assert (found.source, found.replaced) == ("rules", None)


def test_training_is_never_blocked() -> None:
    chain = FallbackChain([Down(), Scripted("leaky", "folder: docs")])
    (found,) = chain.diagnose([failure()])
    assert (found.text, found.source, found.replaced) == (FIXED_TEXT, "fixed", "endpoint")
    assert chain.counts == {"failed/endpoint": 1, "leaked/leaky": 1, "answered/fixed": 1}
    assert chain.diagnose([]) == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["no such folder"], r"it returned \['no such folder'\], a list of one Feedback a failure"),
        ("no such folder", "it returned 'no such folder', a list of one Feedback a failure"),
        (None, "it returned None, a list"),
        ([], "it returned 0 feedbacks for 1 failures"),
    ],
)
def test_what_is_no_feedback_is_said(answers: object, said: str) -> None:
    class Mine:
        name = "mine"

        def diagnose(self, failures: Sequence[Failure]) -> object:
            return answers

    mine: Any = Mine()
    with pytest.raises(UserError, match=f"simulator 'mine': {said}"):
        FallbackChain([mine]).diagnose([failure()])


def test_later_simulators_are_not_asked_needlessly() -> None:
    idle = Scripted("idle", "never said")
    FallbackChain([Scripted("honest", "look again"), idle]).diagnose([failure()])
    assert idle.batches == []


@given(st.lists(st.sampled_from([failure(), failure("cd: no such folder"), failure(answer="music")]), max_size=6))
def test_every_failure_is_answered_once(failures: list[Failure]) -> None:
    chain = FallbackChain([EnvironmentSimulator(), Scripted("leaky", "use docs"), Down()])
    found = chain.diagnose(failures)
    assert len(found) == len(failures)
    assert sum(count for key, count in chain.counts.items() if key.startswith("answered/")) == len(failures)


def test_counts_survive_a_checkpoint() -> None:
    chain = FallbackChain([EnvironmentSimulator()])
    chain.diagnose([failure()])
    restored = FallbackChain([EnvironmentSimulator()])
    restored.load_state_dict(json.loads(json.dumps(chain.state_dict())))
    restored.diagnose([failure("x")])
    assert restored.counts == {"unanswered/environment": 1, "answered/fixed": 1, "answered/environment": 1}


def test_simulators_are_made_by_name() -> None:
    assert isinstance(make_simulator("rules"), RulesSimulator)
    chain = make_chain(["environment", "rules", "fixed"])
    assert chain.diagnose([failure()])[0].source == "rules"


def test_an_unknown_name_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"'ruels'.*'rules'.*environment, fixed, rules"):
        make_simulator("ruels")
    with pytest.raises(UserError, match="empty"):
        make_chain([])
