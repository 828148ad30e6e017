"""The training methods that a recipe may name. What each of them does is a file of its own in `training/methods/`."""

from dataclasses import dataclass
from typing import Literal

MethodName = Literal[
    "grpo",
    "dapo",
    "dr_grpo",
    "gspo",
    "ngrpo",
    "matchtir",
    "cleaner",
    "reflection",
    "static_errors",
    "self_correction",
    "demonstrations",
    "fission",
]


@dataclass(frozen=True)
class MethodInfo:
    """What a recipe and a report need to know of a method.

    Attributes:
        title: as tables and plots name it.
        recovers: a share of the batch is recovery groups (`fission.recovery_fraction`).
        granularities: where it is defined.
        needs_all_groups: it learns from groups whose outcomes all agree, which the signal filter would drop.
        reflects: it writes about the failed message before the second attempt, and keeps two rows of each.
    """

    title: str
    recovers: bool = False
    granularities: tuple[str, ...] = ("step", "episode")
    needs_all_groups: bool = False
    reflects: bool = False


METHODS: dict[MethodName, MethodInfo] = {
    "grpo": MethodInfo("GRPO"),
    "dapo": MethodInfo("DAPO"),
    "dr_grpo": MethodInfo("Dr. GRPO"),
    "gspo": MethodInfo("GSPO"),
    "ngrpo": MethodInfo("NGRPO", needs_all_groups=True),
    "matchtir": MethodInfo("MatchTIR"),
    "cleaner": MethodInfo("CLEANER"),
    "reflection": MethodInfo("Reflect and retry", recovers=True, granularities=("step",), reflects=True),
    "static_errors": MethodInfo("Static error data", recovers=True),
    "self_correction": MethodInfo("SFT on self-corrections", recovers=True),
    "demonstrations": MethodInfo("SFT on references", granularities=("step",), needs_all_groups=True),
    "fission": MethodInfo("Fission-GRPO", recovers=True),
}
"""Every method by its name in a recipe, in the order of tables."""
