"""Which numbers are published, what they are called, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from fission_grpo.evaluation.metrics import METRICS as MEASURES


@dataclass(frozen=True)
class MetricDefinition:
    """A metric of an evaluation.

    Attributes:
        key: its name in `evaluation.metrics`.
        title: its name in tables.
        better: the direction of improvement.
    """

    key: str
    title: str
    better: Literal["higher", "lower"] = "higher"

    @property
    def meaning(self) -> str:
        """Numerator and denominator in words: what the function that counts them says of itself."""
        return " ".join((MEASURES[self.key].__doc__ or "").split())

    @property
    def arrow(self) -> str:
        return "↑" if self.better == "higher" else "↓"


METRICS = (
    MetricDefinition("solved", "solved"),
    MetricDefinition("hidden_hazards_solved", "hidden hazards solved"),
    MetricDefinition("hazard_free_solved", "hazard-free solved"),
    MetricDefinition("recovery_rate_turn", "recovery (turn)"),
    MetricDefinition("recovery_rate_task", "recovery (task)"),
    MetricDefinition("recovery_rate_call", "recovery (call)"),
    MetricDefinition("repeat_rate", "repeats", better="lower"),
    MetricDefinition("error_rate", "errors", better="lower"),
)

CURVES = {
    "reward": "mean reward of the exploration rollouts",
    "outcome_rate": "share of exploration rollouts that are right",
    "error_rate": "share of exploration rollouts in which a call erred",
    "recovery_rate": "share of recovery rollouts that are right (Fission only)",
}
"""Metrics of `metrics.jsonl` that are drawn over the updates."""
