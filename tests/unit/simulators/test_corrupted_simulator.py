"""The quality knob: as many wrong diagnoses as asked for, the same ones every time, and nothing else wrong with them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from failing import failure
from failure_strategies import erring, failures, malformed, without_pattern
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.simulators import EnvironmentSimulator, FallbackChain, FixedSimulator, RulesSimulator
from fission_grpo.simulators.answer import answer_text, read_answer
from fission_grpo.simulators.base import Regenerating, Simulator
from fission_grpo.simulators.corrupted import corrupted
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.simulators.leak import leaks
from fission_grpo.simulators.rules import HINTS, PROBLEMS
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel, ToolCall

MANY = [erring(number) for number in range(200)]
RULES = RulesSimulator()


def hit(rate: float, seed: int = 0, simulator: Simulator = RULES) -> set[int]:
    found = corrupted(simulator, rate, seed).diagnose(MANY)
    return {index for index, pair in enumerate(zip(MANY, found, strict=True)) if pair[1].kind is not pair[0].kind}


def test_at_0_nothing_and_at_1_everything_is_wrong() -> None:
    assert corrupted(RULES, 0.0).diagnose(MANY) == RULES.diagnose(MANY)
    assert hit(1.0) == set(range(200))


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_hits_the_same_and_more(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert hit(low) <= hit(high)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_met(rate: float) -> None:
    assert abs(len(hit(rate)) / 200 - rate) < 0.1


def test_the_seed_decides_which() -> None:
    assert hit(0.5) == hit(0.5)
    assert hit(0.5) != hit(0.5, seed=1)


@given(failures())
def test_the_wrong_diagnosis_is_of_another_kind_well_formed_and_the_same_every_time(given_: Failure) -> None:
    (found,) = corrupted(FixedSimulator(), 1.0).diagnose([given_])
    assert found == corrupted(FixedSimulator(), 1.0).diagnose([given_])[0]
    assert found.kind is not None
    assert found.kind is not given_.kind
    answer = read_answer(answer_text(found.kind, found.text), given_)
    assert getattr(answer, "kind", None) is found.kind


VALUES = st.text(min_size=1, max_size=30) | st.integers() | st.booleans() | st.floats(allow_nan=False)
NAMES = st.from_regex(r"[a-z]{2,8}_[a-z]{2,8}", fullmatch=True)


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.sampled_from(FailureKind))
def test_nothing_of_the_answer_is_in_it(arguments: dict[str, object], kind: FailureKind) -> None:
    given_ = replace(failure(kind=kind), reference=(ToolCall("find_it", arguments),))
    (found,) = corrupted(RULES, 1.0).diagnose([given_])
    assert leaks(found.text, given_) is None


def test_the_environments_words_are_left_out_with_the_right_diagnosis() -> None:
    (found,) = corrupted(RULES, 1.0).diagnose([failure("a")])
    assert found.text in {f"error: {PROBLEMS[kind]}. {HINTS[kind]}" for kind in PROBLEMS}
    assert (found.source, found.level) == ("rules", FeedbackLevel.FULL)


def test_what_stands_in_for_a_simulator_is_not_its_diagnosis() -> None:
    assert corrupted(EnvironmentSimulator(), 1.0).diagnose([without_pattern()]) == [fixed_feedback(replaced="environment")]


class Model:
    name = "local"

    def __init__(self) -> None:
        self.tokens, self.parameters = Counter(prefill=3), 7
        self.again = 0

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [fixed_feedback(replaced=self.name)] * len(failures)

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        self.again += 1
        return [Feedback("not found.", self.name, FeedbackLevel.FULL, FailureKind.RUNTIME_ERROR)] * len(failures)

    def state_dict(self) -> dict[str, int]:
        return dict(self.tokens)

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.tokens = Counter(state)


def test_a_language_model_stays_one_and_deterministic_simulators_none() -> None:
    assert isinstance(corrupted(Model(), 0.5), Regenerating)
    assert not isinstance(corrupted(RULES, 0.5), Regenerating)
    (found,) = FallbackChain([corrupted(RULES, 0.0)]).diagnose([malformed()])
    assert found.source == "rules"


def test_a_second_attempt_is_corrupted_too() -> None:
    model = Model()
    chain = FallbackChain([corrupted(model, 1.0), RULES])
    (found,) = chain.diagnose([failure("a")])
    assert model.again == 1
    assert (found.source, found.replaced) == ("local", None)
    assert found.kind not in (None, FailureKind.RUNTIME_ERROR)


def test_tokens_and_state_are_those_of_the_model() -> None:
    model = Model()
    wrapper = corrupted(model, 0.5)
    assert (wrapper.tokens, wrapper.parameters, wrapper.state_dict()) == ({"prefill": 3}, 7, {"prefill": 3})
    wrapper.load_state_dict({"prefill": 9})
    assert model.tokens == {"prefill": 9}
    assert (corrupted(RULES, 0.5).tokens, corrupted(RULES, 0.5).parameters, corrupted(RULES, 0.5).state_dict()) == (
        {},
        0,
        {},
    )
