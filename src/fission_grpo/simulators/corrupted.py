"""A quality knob for ablations: a share of a simulator's diagnoses is replaced by a wrong one."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fission_grpo.simulators.base import Metered, Regenerating, Simulator, Stateful, Weighted
from fission_grpo.simulators.rules import HINTS, PROBLEMS
from fission_grpo.types import Failure, FailureKind, Feedback

_WRONG = (
    FailureKind.MALFORMED_CALL,
    FailureKind.UNKNOWN_TOOL,
    FailureKind.SCHEMA_VIOLATION,
    FailureKind.WRONG_TOOL,
    FailureKind.WRONG_ARGUMENTS,
    FailureKind.MISSING_CALL,
    FailureKind.SUPERFLUOUS_CALL,
)
"""Kinds with one sentence of their own."""


class CorruptedSimulator:
    """Says of a share `rate` of all failures what is wrong with some other kind of failure.

    Which failures are hit, and by which kind, follows from their content and the seed: at a higher rate the same failures
    are hit, and more. The wrong diagnosis is well-formed and leaks nothing, so that only its being wrong is measured; the
    environment's own words are left out with the diagnosis, as they would set it right.
    """

    def __init__(self, simulator: Simulator, rate: float, seed: int = 0) -> None:
        self.simulator = simulator
        self.name = simulator.name
        self._rate = rate
        self._seed = seed

    @property
    def tokens(self) -> Counter[str]:
        """Those of the simulator behind it."""
        return self.simulator.tokens if isinstance(self.simulator, Metered) else Counter()

    @property
    def parameters(self) -> int:
        """Those of the simulator behind it."""
        return self.simulator.parameters if isinstance(self.simulator, Weighted) else 0

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return self._corrupt(failures, self.simulator.diagnose(failures))

    def state_dict(self) -> dict[str, Any]:
        """That of the simulator behind it."""
        return self.simulator.state_dict() if isinstance(self.simulator, Stateful) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        if isinstance(self.simulator, Stateful):
            self.simulator.load_state_dict(state)

    def _corrupt(self, failures: Sequence[Failure], feedbacks: Sequence[Feedback]) -> list[Feedback]:
        pairs = zip(failures, feedbacks, strict=True)
        return [self._of(failure, feedback) for failure, feedback in pairs]

    def _of(self, failure: Failure, feedback: Feedback) -> Feedback:
        generator = random.Random(f"{self._seed}/{failure.task_id}/{failure.turn}/{failure.text}")
        if generator.random() >= self._rate or feedback.replaced is not None:
            return feedback
        kind = generator.choice([each for each in _WRONG if each is not failure.kind])
        return replace(feedback, text=f"error: {PROBLEMS[kind]}. {HINTS[kind]}", kind=kind)


class CorruptedModel(CorruptedSimulator):
    """The same of a language model: a second attempt at a failure is corrupted as the first was."""

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        assert isinstance(self.simulator, Regenerating)
        return self._corrupt(failures, self.simulator.diagnose_again(failures))


def corrupted(simulator: Simulator, rate: float, seed: int = 0) -> CorruptedSimulator:
    """Corrupts a simulator, which stays otherwise what it is to the fallback chain: a language model, or none."""
    kind = CorruptedModel if isinstance(simulator, Regenerating) else CorruptedSimulator
    return kind(simulator, rate, seed)
