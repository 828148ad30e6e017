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
        return PROBE_MEANINGS.get(self.key) or " ".join((MEASURES[self.key].__doc__ or "").split())

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

PROBE = (
    MetricDefinition("probe_recovery", "probe recovery"),
    MetricDefinition("probe_repeat", "probe repeats", better="lower"),
)
"""Metrics of the continuations of a probe set (`evaluation.probe`)."""
PROBE_MEANINGS = {
    "probe_recovery": "Continuations of the probe set whose user turn ends right, of all.",
    "probe_repeat": "Continuations of the probe set whose first message makes the failed call again and errs again, of all.",
}

CURVES = {
    "reward": "mean reward of the exploration rollouts",
    "outcome_rate": "share of exploration rollouts that are right",
    "error_rate": "share of exploration rollouts in which a call erred",
    "recovery_rate": "share of recovery rollouts that are right (Fission only)",
}
"""Metrics of `metrics.jsonl` that are drawn over compute."""
LEARNING_CURVES = {name: meaning for name, meaning in CURVES.items() if name != "recovery_rate"}
"""Those that are drawn over the updates; the other one stands with the pool, as its yield."""
SIGNAL_CURVES = {
    "exploration": "exploration groups whose rollouts are all right or all wrong: the outcome tells them nothing apart",
    "recovery": "the same of recovery groups",
}
POOL_CURVES = {
    "size": "failures that wait after the update",
    "mean age": "updates since they were intercepted, on average",
    "yield": "share of recovery rollouts that are right; a training figure, not the metric of evaluations",
}
"""Panels on the pool of failures."""

ALIGNMENT = {
    "sound": "diagnoses that are usable, leak nothing and name the established kind, of the newest failures",
    "usable": "answers that can be read as a diagnosis, of the newest failures (judged before the leak guard)",
    "agreement": "diagnoses of the established kind, of the failures whose kind parser, schema or execution establish",
    "leak": "answers that give away something of the right call, of the usable ones; in training the guard holds them back",
    "fallback": "recovery groups for which another simulator had to stand in, malformed messages aside",
    "warning level": "simulator.alignment.warn_below: fewer sound diagnoses are warned of, and may start a refresh",
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


@dataclass(frozen=True)
class SimulatorMeasure:
    """What is measured of an error simulator.

    Attributes:
        key: its name in `training.simulator.measures.MEASURES`, or in `SimulatorResult`.
        title: its name in tables.
        needs_kind: it means nothing for a simulator that claims no kind of failure.
        better: the direction of improvement, None where there is none.
    """

    key: str
    title: str
    meaning: str
    better: Literal["higher", "lower"] | None = "higher"
    needs_kind: bool = False

    @property
    def head(self) -> str:
        """The title with an arrow the way that is better."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        return f"{self.title}{arrow}"


SAYS = (
    SimulatorMeasure("usable", "usable", "answers that can be read as a diagnosis, of all failures"),
    SimulatorMeasure(
        "leak_exact", "leak, exact", "answers that give a reference value or tool away as it is, of the usable ones", "lower"
    ),
    SimulatorMeasure(
        "leak_normalised",
        "leak, normalised",
        "the same, and in another notation: case, joints of words, format of a date",
        "lower",
    ),
    SimulatorMeasure(
        "leak", "leak, any form", "the same, and in disguise: encoded, spelled out, in words, in another unit", "lower"
    ),
    SimulatorMeasure(
        "agreement",
        "agreement",
        "diagnoses of the established kind, of the failures whose kind parser, schema or execution "
        "establish; an unusable answer is wrong",
        needs_kind=True,
    ),
    SimulatorMeasure(
        "agreement_all",
        "agreement, all",
        "the same of all failures; the other kinds follow from the reference, of which there may be several",
        needs_kind=True,
    ),
    SimulatorMeasure(
        "specificity", "specificity", "messages that name the parameter at fault, of the failures where it is known"
    ),
    SimulatorMeasure(
        "sound", "sound", "usable, without a leak, and of the established kind, of all failures", needs_kind=True
    ),
)
"""Measures of a simulator's own words, before the leak guard."""
LABELS = SimulatorMeasure(
    "labels",
    "agreement, labels",
    "diagnoses of the kind that was labelled by hand, of the labelled failures",
    needs_kind=True,
)
WORDS = SimulatorMeasure("words", "words", "mean length of a usable message, the environment's own words aside", None)
DOES = (
    SimulatorMeasure(
        "utility",
        "utility",
        "recoveries that are right when the policy is given this feedback, of all; behind the leak guard, "
        "where the rules (for a baseline: the fixed sentence) stand in",
    ),
    SimulatorMeasure("over_fixed", "utility, change", "utility minus that of the fixed sentence, on the same failures"),
    SimulatorMeasure(
        "blind",
        "blind answers",
        "right calls given by a reader who sees schema and feedback but not the dialogue, of all",
        None,
    ),
    SimulatorMeasure(
        "gain",
        "answer gain",
        "blind answers minus those with the fixed sentence: how much of the answer the feedback gives away",
        "lower",
    ),
    SimulatorMeasure(
        "blind_secret",
        "blind, secret",
        "blind answers to the failures whose answer holds a value that neither the failed message "
        "nor the environment's words show: only there is a value to give away",
        None,
    ),
    SimulatorMeasure("secret_gain", "gain, secret", "answer gain on these failures", "lower"),
)
"""Measures of what feedback does for a policy, and for a reader who should not be able to answer."""
