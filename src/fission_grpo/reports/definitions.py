"""What every published number means. The texts stand beside the numbers in every report (docs/method.md, section 7)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricDefinition:
    """A metric of an evaluation.

    Attributes:
        key: its name in the evaluation's results.
        title: its name in tables.
        meaning: numerator and denominator in one sentence.
        better: the direction of improvement.
    """

    key: str
    title: str
    meaning: str
    better: Literal["higher", "lower"]


METRICS = (
    MetricDefinition(
        "solved", "solved", "episodes whose every turn ended with state and results right, of all episodes", "higher"
    ),
    MetricDefinition(
        "hidden_hazards_solved",
        "hidden hazards solved",
        "solved episodes, of those whose task holds a hazard that the prompt does not show",
        "higher",
    ),
    MetricDefinition(
        "recovery_rate_turn",
        "recovery (turn)",
        "turns that are right at their end, of the turns in which a call erred, with all earlier turns right and something "
        "to be done in this one",
        "higher",
    ),
    MetricDefinition(
        "recovery_rate_task", "recovery (task)", "solved episodes, of the episodes in which a call erred", "higher"
    ),
    MetricDefinition(
        "recovery_rate_call",
        "recovery (call)",
        "erred calls after which the same tool succeeds within the turn, of all erred calls",
        "higher",
    ),
    MetricDefinition(
        "repeat_rate", "repeats", "erred calls followed by an equal call that errs again, of all erred calls", "lower"
    ),
    MetricDefinition("error_rate", "errors", "calls that the environment answered with an error, of all calls", "lower"),
)

CURVES = {
    "reward": "mean reward of the exploration rollouts",
    "outcome_rate": "share of exploration rollouts that are right",
    "error_rate": "share of exploration rollouts in which a call erred",
    "recovery_rate": "share of recovery rollouts that are right (Fission only)",
}
"""Metrics of `metrics.jsonl` that are drawn over the updates."""
