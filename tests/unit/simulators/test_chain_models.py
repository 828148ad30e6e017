"""The fallback chain with language models in it: one more attempt, then the rules."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from failing import failure
from failure_strategies import FORMAT, malformed, without_pattern
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import InfrastructureError
from fission_grpo.simulators import FallbackChain, RulesSimulator
from fission_grpo.simulators.answer import AnswerFault, answer_text, feedback_of
from fission_grpo.types import Failure, FailureKind, Feedback

HONEST = answer_text(FailureKind.SCHEMA_VIOLATION, "a required parameter is missing.")
LEAK = answer_text(FailureKind.SCHEMA_VIOLATION, "pattern should be 'budget'.")
PROSE = "I am sorry, I cannot help with that."


class Model:
    """A language model by script: what it says at first, and what it says when it is asked again."""

    name = "local"

    def __init__(self, first: str | None, second: str | None = None) -> None:
        self._first, self._second = first, second
        self.asked: list[list[Failure]] = []

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return self._say(self._first, failures)

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        return self._say(self._second, failures)

    def state_dict(self) -> dict[str, Any]:
        return {"asked": len(self.asked)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.asked = [[]] * state["asked"]

    def _say(self, text: str | None, failures: Sequence[Failure]) -> list[Feedback]:
        self.asked.append(list(failures))
        if text is None:
            raise InfrastructureError("down")
        return [feedback_of(text, each, self.name) for each in failures]


def asked(model: Model, *failures: Failure) -> tuple[list[Feedback], FallbackChain]:
    chain = FallbackChain([model, RulesSimulator()])
    return chain.diagnose(failures), chain


def test_what_is_honest_is_asked_once() -> None:
    model = Model(HONEST, LEAK)
    (found,), chain = asked(model, without_pattern())
    assert (found.source, found.replaced, len(model.asked)) == ("local", None, 1)
    assert chain.counts == {"answered/local": 1}


def test_a_leak_is_asked_about_once_more() -> None:
    model = Model(LEAK, HONEST)
    (found,), chain = asked(model, without_pattern())
    assert (found.source, found.replaced, len(model.asked)) == ("local", None, 2)
    assert chain.counts == {"leaked/local": 1, "asked_again/local": 1, "answered/local": 1}


def test_then_the_rules_answer() -> None:
    (found,), chain = asked(Model(LEAK, PROSE), without_pattern())
    assert (found.source, found.replaced) == ("rules", "local")
    assert chain.counts == {
        "leaked/local": 1,
        "asked_again/local": 1,
        "unanswered/local/no_json": 1,
        "answered/rules": 1,
    }


def test_only_what_could_not_be_used_is_asked_again() -> None:
    model = Model(LEAK, HONEST)
    secret, open_ = without_pattern(), failure("a")  # the leak of one is no leak of the other
    _, chain = asked(model, open_, secret, open_)
    assert [len(batch) for batch in model.asked] == [3, 1]
    assert model.asked[1] == [secret]
    assert chain.counts["answered/local"] == 3


def test_a_model_that_is_down_is_not_asked_again() -> None:
    model = Model(None, HONEST)
    found, chain = asked(model, failure("a"), failure("b"))
    assert [each.source for each in found] == ["rules", "rules"]
    assert len(model.asked) == 1
    assert chain.counts == {"failed/local": 2, "answered/rules": 2}


def test_a_model_that_goes_down_before_the_second_attempt() -> None:
    (found,), chain = asked(Model(PROSE, None), without_pattern())
    assert (found.source, found.replaced) == ("rules", "local")
    assert chain.counts["failed/local"] == 1


def test_messages_that_could_not_be_read_never_reach_a_model() -> None:
    model = Model(HONEST)
    found, chain = asked(model, malformed(), without_pattern(), malformed("b"))
    assert model.asked == [[without_pattern()]]
    assert [(each.source, each.replaced) for each in found] == [("rules", None), ("local", None), ("rules", None)]
    assert FORMAT.detail in found[0].text
    assert chain.counts == {"answered/rules": 2, "answered/local": 1}


def test_a_model_alone_leaves_them_to_the_fixed_sentence() -> None:
    (found,) = FallbackChain([Model(HONEST)]).diagnose([malformed()])
    assert (found.source, found.replaced) == ("fixed", None)


def test_states_survive_a_checkpoint() -> None:
    _, chain = asked(Model(LEAK, PROSE), without_pattern())
    restored_model = Model(HONEST)
    restored = FallbackChain([restored_model, RulesSimulator()])
    restored.load_state_dict(json.loads(json.dumps(chain.state_dict())))
    assert restored.counts == chain.counts
    assert len(restored_model.asked) == 2


ANSWERS: list[str | None] = [HONEST, LEAK, PROSE, None, "", "{", answer_text(FailureKind.WRONG_TOOL, "x" * 999)]
FAILURES: list[Callable[[], Failure]] = [failure, malformed, without_pattern]


@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS), st.lists(st.sampled_from(FAILURES), max_size=5))
def test_the_books_balance(first: str | None, second: str | None, makers: list[Callable[[], Failure]]) -> None:
    failures = [make() for make in makers]
    found, chain = asked(Model(first, second), *failures)
    assert len(found) == len(failures)
    counts = {key: count for key, count in chain.counts.items() if count}
    assert sum(count for key, count in counts.items() if key.startswith("answered/")) == len(failures)
    assert {key.removeprefix("answered/") for key in counts if key.startswith("answered/")} <= {"local", "rules"}
    reasons = {key.split("/")[2] for key in counts if key.startswith("unanswered/local")}
    assert reasons <= {fault.value for fault in AnswerFault}
    for each, feedback in zip(failures, found, strict=True):
        fell_back = feedback.source == "rules" and each.format_error is None
        assert (feedback.replaced == "local") == fell_back
