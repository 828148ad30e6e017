"""The picture of a run's alignment: how well the simulator fits over the updates, and when it was refreshed."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fission_grpo.reports.alignment import Alignment, Measurement, Refresh, wilson
from fission_grpo.reports.plots import BAD, GOOD, INK, style, svg

COLOURS = {"usable": "#2fa5b5", "sound": GOOD, "agreement": "#4c8dd6", "leak": BAD, "fallback": "#9a60b4"}
_MARGIN = 0.03
"""Of the height, so that shares of 0 and 1 can be seen."""
_REFRESH = "#d4a72c"


def alignment_curve(alignment: Alignment) -> str:
    """Shares of the measurements over the updates, with 95% intervals, the warning level and refreshes. Empty without any.

    Of a simulator that claims no kind, `usable` takes the place of `sound`, and there is no level.
    """
    measurements = alignment.measurements
    if not measurements:
        return ""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axis = figure.subplots()
    names = ("agreement", "leak", "fallback") if alignment.claims_kinds else ("leak", "fallback")
    lead = "sound" if alignment.claims_kinds else "usable"
    _line(axis, measurements, lead, leads=True)
    for name in names:
        _line(axis, measurements, name)
    if alignment.claims_kinds:
        level = measurements[-1].warn_below
        axis.axhline(level, color="#8a8f98", linestyle="--", linewidth=1, label=f"warning level ({level:g})")
        _mark_low(axis, [each for each in measurements if each.is_low])
    _mark_refreshes(axis, alignment.refreshes)
    axis.set_ylim(-_MARGIN, 1 + _MARGIN)
    axis.set_xlim(left=0)
    axis.set_xlabel("update", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    style(axis)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    return svg(figure)


def _line(axis: Axes, measurements: Sequence[Measurement], name: str, *, leads: bool = False) -> None:
    points = [(each.step, value) for each in measurements if (value := each.shares[name].value) is not None]
    steps, values = [step for step, _ in points], [value for _, value in points]
    width, size, above = (4.5, 7.5, 3) if leads else (1.2, 3, 4)  # thin ones stay visible above a thick one
    axis.plot(steps, values, color=COLOURS[name], linewidth=width, marker="o", markersize=size, label=name, zorder=above)
    if leads:
        intervals = [(each.step, wilson(each.shares[name])) for each in measurements if each.shares[name].denominator]
        axis.vlines(
            [step for step, _ in intervals],
            [interval.low for _, interval in intervals],
            [interval.high for _, interval in intervals],
            color=COLOURS[name], linewidth=1.2, alpha=0.6,
        )  # fmt: skip


def _mark_low(axis: Axes, low: Sequence[Measurement]) -> None:
    if low:
        values = [each.shares["sound"].value or 0.0 for each in low]
        axis.plot(
            [each.step for each in low], values, linestyle="", marker="o", markersize=12, markerfacecolor="none",
            markeredgecolor=BAD, markeredgewidth=1.6, label="sound below the level", zorder=5,
        )  # fmt: skip


def _mark_refreshes(axis: Axes, refreshes: Sequence[Refresh]) -> None:
    for used, look, label in ((True, "-", "refresh, used"), (False, ":", "refresh, not used")):
        steps = [each.step for each in refreshes if each.used == used]
        for place, step in enumerate(steps):
            axis.axvline(step, color=_REFRESH, linestyle=look, linewidth=1.6, label=None if place else label, zorder=1)
