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

ALIGNMENT = {
    "sound": "diagnoses that are usable, leak nothing and name the established kind, of the newest failures",
    "usable": "answers that can be read as a diagnosis, of the newest failures (judged before the leak guard)",
    "agreement": "diagnoses of the established kind, of the failures whose kind parser, schema or execution establish",
    "leak": "answers that give away something of the right call, of the usable ones; in training the guard holds them back",
    "fallback": "recovery groups for which another simulator had to stand in, malformed messages aside",
    "warning level": "`simulator.alignment.warn_below`: fewer sound diagnoses are warned of, and may start a refresh",
    "refresh": "fine-tuning the simulator on recent failures; a new version is used if it is no worse on held-out ones",
    "recovery": "recoveries that are right, of all training recoveries from failures of that kind",
    "given": "recovery groups that were trained with feedback of this source",
    "leaked": "answers that the leak guard held back",
    "asked again": "failures that the simulator was asked about a second time, after a leak or an unusable answer",
    "unanswered": "answers without a usable diagnosis, by reason; the next simulator stands in",
    "failed": "failures left to the next simulator because this one could not be reached or broke",
}
"""Terms of a run's section on its error simulator."""
WITHOUT_KIND_TERMS = ("sound", "agreement", "warning level")
"""Terms that mean nothing for a simulator that claims no kind."""
