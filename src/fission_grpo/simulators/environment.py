"""The environment's own words as feedback."""

from collections.abc import Sequence

from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.types import Failure, Feedback, FeedbackLevel


class EnvironmentSimulator:
    """Answers a call that erred with the error text that the environment gave.

    Where no call erred the environment said nothing: the fixed sentence stands in (`Feedback.replaced` names this
    simulator), and a chain passes such a failure to its next simulator.
    """

    name = "environment"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [self._feedback(failure.error_text) for failure in failures]

    def _feedback(self, error_text: str | None) -> Feedback:
        if error_text is None:
            return fixed_feedback(replaced=self.name)
        return Feedback(error_text, self.name, FeedbackLevel.RAW)
