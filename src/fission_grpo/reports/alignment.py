"""Does the error simulator fit? What a run's alignment monitor logged (`training/simulator/alignment.py`), read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.statistics import Interval
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.fixed import FixedSimulator

SHARES = ("usable", "leak", "agreement", "sound", "fallback")
"""Shares of a measurement that are shown."""
WITHOUT_KIND = (EnvironmentSimulator.name, FixedSimulator.name)
"""Simulators that claim no kind of failure: agreement with the established kind says nothing of them."""
_NORMAL_QUANTILE = 1.959964
"""Of 0.975."""


@dataclass(frozen=True)
class Measurement:
    """One measurement of the preferred simulator.

    Attributes:
        shares: by the names of `SHARES`.
        recovery: recoveries that were right since the last measurement, by kind of error.
    """

    step: int
    simulator: str
    shares: Mapping[str, Ratio]
    recovery: Mapping[str, Ratio]
    warn_below: float
    seconds: float

    @property
    def is_low(self) -> bool:
        """Whether too few diagnoses were sound."""
        sound = self.shares["sound"].value
        return self.simulator not in WITHOUT_KIND and sound is not None and sound < self.warn_below


@dataclass(frozen=True)
class Refresh:
    """One attempt to fine-tune the simulator further.

    Attributes:
        version: None where it was put off before a version was made.
        old: sound diagnoses of the version in use, on held-out failures; None where nothing was measured.
        new: the same for the new one.
        reason: why it was not used.
    """

    step: int
    used: bool
    version: int | None
    old: Ratio | None
    new: Ratio | None
    reason: str
    seconds: float


@dataclass(frozen=True)
class Alignment:
    """All measurements and refreshes of a run, in order."""

    measurements: Sequence[Measurement] = ()
    refreshes: Sequence[Refresh] = ()

    @property
    def claims_kinds(self) -> bool:
        """Whether the simulator that is watched says of which kind a failure is."""
        return all(each.simulator not in WITHOUT_KIND for each in self.measurements)


def alignment_of(lines: Iterable[Mapping[str, Any]]) -> Alignment:
    """The lines of `alignment.jsonl` as what they record."""
    measurements: list[Measurement] = []
    refreshes: list[Refresh] = []
    for line in lines:
        if line["event"] == "measurement":
            measurements.append(_measurement(line))
        elif line["event"] == "refresh":
            refreshes.append(_refresh(line))
    return Alignment(measurements, refreshes)


def wilson(ratio: Ratio) -> Interval:
    """The 95% interval of a share of few, for counts that come without their scenarios; NaN of none (Wilson 1927)."""
    share, count, squared = ratio.value, ratio.denominator, _NORMAL_QUANTILE**2
    if share is None:
        return Interval(float("nan"), float("nan"))
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    reach = _NORMAL_QUANTILE * sqrt(share * (1 - share) / count + squared / (4 * count**2)) / (1 + squared / count)
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))


def _measurement(line: Mapping[str, Any]) -> Measurement:
    return Measurement(
        step=int(line["step"]),
        simulator=str(line["simulator"]),
        shares={name: Ratio(*line[name]) for name in SHARES},
        recovery={kind: Ratio(*pair) for kind, pair in line["recovery"].items()},
        warn_below=float(line["warn_below"]),
        seconds=float(line["seconds"]),
    )


def _refresh(line: Mapping[str, Any]) -> Refresh:
    return Refresh(
        step=int(line["step"]),
        used=bool(line["used"]),
        version=line.get("version"),
        old=Ratio(*line["old"]) if "old" in line else None,
        new=Ratio(*line["new"]) if "new" in line else None,
        reason=str(line.get("reason", "")),
        seconds=float(line.get("seconds", 0.0)),
    )
