"""The fallback chain: the first simulator that answers without leaking; training is never blocked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.simulators.base import Regenerating, Simulator, Stateful
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.simulators.leak import Leak, leaks
from fission_grpo.types import Failure, Feedback

Guard = Callable[[str, Failure], Leak | None]
Diagnose = Callable[[Sequence[Failure]], list[Feedback]]


class FallbackChain:
    """Tries simulators in order, in batches; a failure that one cannot answer, or answers with a leak, goes to the next.

    A simulator cannot answer when it raises `InfrastructureError`, or when what it returns says that it stands in for
    another (`Feedback.replaced`). Behind the last simulator stands the fixed sentence, which knows nothing to leak.

    A language model (`Regenerating`) is asked once more for what leaked or could not be used, and not at all about messages
    that could not be read: those get a deterministic feedback (docs/method.md, section 2), which is no fallback.

    Attributes:
        counts: how often each source did what: `answered/rules`, `leaked/endpoint`, `asked_again/local`,
            `unanswered/local/no_json`, `failed/endpoint`. `answered` sums to the number of failures diagnosed.
    """

    name = "chain"

    def __init__(self, simulators: Sequence[Simulator], guard: Guard = leaks) -> None:
        self.simulators = list(simulators)
        self._guard = guard
        self.counts: Counter[str] = Counter()

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        """As in `Simulator`; a simulator of one's own that answers anything else raises a UserError."""
        answers: dict[int, Feedback] = {}
        preferred: dict[int, str] = {}
        for simulator in self.simulators:
            asked = {
                index: failure
                for index, failure in enumerate(failures)
                if index not in answers and _is_for(simulator, failure)
            }
            if not asked:
                continue
            accepted = self._answered(simulator, asked)
            answers |= {index: replace(each, replaced=preferred.get(index)) for index, each in accepted.items()}
            preferred = dict.fromkeys(asked, simulator.name) | preferred
        for index in range(len(failures)):
            answers.setdefault(index, fixed_feedback(replaced=preferred.get(index)))
        self.counts.update(f"answered/{feedback.source}" for feedback in answers.values())
        return [answers[index] for index in range(len(failures))]

    def state_dict(self) -> dict[str, Any]:
        """The counts, and the state of every simulator that has one, as JSON."""
        states = {each.name: each.state_dict() for each in self.simulators if isinstance(each, Stateful)}
        return {"counts": dict(self.counts), "simulators": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self.counts = Counter(state["counts"])
        for simulator in self.simulators:
            if isinstance(simulator, Stateful) and simulator.name in state["simulators"]:
                simulator.load_state_dict(state["simulators"][simulator.name])

    def _answered(self, simulator: Simulator, failures: Mapping[int, Failure]) -> dict[int, Feedback]:
        """What one simulator answers to the failures still open, without what must not be used."""
        accepted = self._ask(simulator.name, simulator.diagnose, failures)
        rest = {index: failure for index, failure in failures.items() if index not in (accepted or ())}
        if accepted is None or not rest or not isinstance(simulator, Regenerating):
            return accepted or {}
        self.counts[f"asked_again/{simulator.name}"] += len(rest)
        return accepted | (self._ask(simulator.name, simulator.diagnose_again, rest) or {})

    def _ask(self, name: str, diagnose: Diagnose, failures: Mapping[int, Failure]) -> dict[int, Feedback] | None:
        """One attempt; None where the simulator failed altogether, and asking again would only take time."""
        try:
            feedbacks = diagnose(list(failures.values()))
        except InfrastructureError:
            self.counts[f"failed/{name}"] += len(failures)
            return None
        check_answers(name, feedbacks, len(failures))
        accepted: dict[int, Feedback] = {}
        for (index, failure), feedback in zip(failures.items(), feedbacks, strict=True):
            if feedback.replaced is not None:
                self.counts["/".join(filter(None, ("unanswered", name, feedback.reason)))] += 1
            elif self._guard(feedback.text, failure) is not None:
                self.counts[f"leaked/{name}"] += 1
            else:
                accepted[index] = feedback
        return accepted


def check_answers(name: str, feedbacks: object, wanted: int) -> None:
    """Says what a simulator of one's own does wrong.

    Raises:
        UserError: it did not return one Feedback for each failure.
    """
    answers = cast(Sequence[object], feedbacks) if isinstance(feedbacks, list | tuple) else None
    if answers is None or not all(isinstance(each, Feedback) for each in answers):
        raise UserError(f"simulator {name!r}: it returned {feedbacks!r:.200}, a list of one Feedback a failure is allowed")
    if len(answers) != wanted:
        raise UserError(
            f"simulator {name!r}: it returned {len(answers)} feedbacks for {wanted} failures, one each is allowed"
        )


def _is_for(simulator: Simulator, failure: Failure) -> bool:
    return failure.format_error is None or not isinstance(simulator, Regenerating)
