"""The plainest feedback, and the last resort of every chain: one fixed sentence (from the paper's README)."""

from collections.abc import Sequence

from fission_grpo.types import Failure, Feedback, FeedbackLevel

FIXED_TEXT = "error: you made a mistake. please try again."


class FixedSimulator:
    """Answers every failure with the same sentence."""

    name = "fixed"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [fixed_feedback()] * len(failures)


def fixed_feedback(replaced: str | None = None, reason: str | None = None) -> Feedback:
    """The fixed sentence, standing in for the simulator named `replaced` if one is, for a `reason` that is counted."""
    return Feedback(FIXED_TEXT, FixedSimulator.name, FeedbackLevel.RAW, replaced=replaced, reason=reason)
