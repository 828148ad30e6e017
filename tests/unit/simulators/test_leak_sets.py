"""The leak guard on its sets: disguised answers are caught, honest feedback passes, and what is missed is written down."""

from collections import Counter

import pytest

from fission_grpo.simulators.leak import leaks
from leak_cases import Case, load_cases

ADVERSARIAL = load_cases("adversarial")
HONEST = load_cases("honest")
KNOWN_MISSES = load_cases("known_misses")


def name(case: Case) -> str:
    return f"{case.disguise}: {case.feedback}"[:80]


@pytest.mark.parametrize("case", ADVERSARIAL, ids=name)
def test_disguised_answers_are_caught(case: Case) -> None:
    assert leaks(case.feedback, case.failure) is not None


@pytest.mark.parametrize("case", HONEST, ids=name)
def test_honest_feedback_passes(case: Case) -> None:
    assert leaks(case.feedback, case.failure) is None


@pytest.mark.parametrize("case", KNOWN_MISSES, ids=name)
def test_known_misses_are_still_missed(case: Case) -> None:
    """Where one of these is caught at last, it belongs into `adversarial.jsonl`, and docs/method.md has to say so."""
    assert leaks(case.feedback, case.failure) is None


def test_the_sets_are_large_and_without_doubles() -> None:
    assert len({case.feedback for case in ADVERSARIAL}) >= 250
    assert len({case.feedback for case in HONEST}) >= 150
    assert min(Counter(case.disguise for case in ADVERSARIAL).values()) >= 7
