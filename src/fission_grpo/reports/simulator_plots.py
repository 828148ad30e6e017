"""The picture of a simulator evaluation: what feedback does for the policy, and what it gives away."""

from collections.abc import Sequence
from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.benchmark_tables import fold
from fission_grpo.reports.plots import INK, style, svg
from fission_grpo.training.simulator.evaluate import BASELINES, Change, Evaluation, SimulatorResult

BASELINE, SIMULATOR = "#8a8f98", "#e0662f"
_NAME_WIDTH = 30
_INCHES_A_LINE = 0.17
_ROW = 0.4
"""Of a line, between two simulators."""


def utility_chart(evaluation: Evaluation) -> str:
    """Utility beside answer gain, a row a simulator; empty without simulators.

    Good feedback stands far to the right on the left side, and on the line at zero on the right side.
    """
    results = evaluation.results
    if not results:
        return ""
    names = [fold(result.name, _NAME_WIDTH) for result in results]
    lines = sum(max(2, len(name)) + _ROW for name in names)
    figure = Figure(figsize=(10, 1.0 + _INCHES_A_LINE * lines), layout="constrained")
    utility, gain = figure.subplots(1, 2, sharey=True)
    _utility(utility, results)
    _gain(gain, results)
    for tick in utility.set_yticks(range(len(names)), ["\n".join(name) for name in names]):
        tick.label1.set_parse_math(False)  # a name is no formula, whatever dollars it holds
    utility.set_ylim(len(names) - 0.5, -0.5)
    return svg(figure)


def _utility(axis: Axes, results: Sequence[SimulatorResult]) -> None:
    for place, result in enumerate(results):
        found = result.utility
        _point(axis, place, found.ratio.value, found.low, found.high, _colour(result))
        _said(axis, place, _with_counts(found.ratio))
        if result.name == BASELINES[0] and found.ratio.value is not None:
            axis.axvline(found.ratio.value, color=BASELINE, linestyle="--", linewidth=1, zorder=1)
    axis.set_xlim(left=0)
    _titled(axis, "utility ↑", "share of right recoveries; dashed: the fixed sentence")


def _gain(axis: Axes, results: Sequence[SimulatorResult]) -> None:
    axis.axvline(0, color=BASELINE, linestyle="--", linewidth=1, zorder=1)
    for place, result in enumerate(results):
        for change, offset, filled in ((result.gain, -0.14, True), (result.secret_gain, 0.14, False)):
            known = None if isnan(change.difference) else change.difference
            _point(axis, place + offset, known, change.low, change.high, _colour(result), filled=filled)
        _said(axis, place, f"{_signed(result.gain)}\n{_signed(result.secret_gain)}")
    _titled(axis, "answer gain ↓", "over the fixed sentence; filled: all failures, hollow: answers with a secret")


def _point(
    axis: Axes, place: float, value: float | None, low: float, high: float, colour: str, *, filled: bool = True
) -> None:
    if value is None:
        return
    if not isnan(low):
        axis.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.55, solid_capstyle="butt", zorder=2)
    face = colour if filled else "none"
    axis.plot([value], [place], color=colour, marker="o", markersize=7, markerfacecolor=face, zorder=3)


def _said(axis: Axes, place: int, text: str) -> None:
    axis.annotate(
        text, (1, place), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points", va="center",
        fontsize=7.5, color=INK,
    )  # fmt: skip


def _titled(axis: Axes, title: str, below: str) -> None:
    axis.set_title(title, fontsize=10, loc="left", fontweight="bold", color=INK)
    axis.set_xlabel(below, fontsize=8)
    style(axis)
    axis.tick_params(axis="y", length=0, labelsize=8.5)
    axis.grid(visible=False, axis="y")


def _colour(result: SimulatorResult) -> str:
    return BASELINE if result.name in BASELINES else SIMULATOR


def _with_counts(ratio: Ratio) -> str:
    return "nothing counted" if ratio.value is None else f"{ratio.value:.3f}\n{ratio.numerator}/{ratio.denominator}"


def _signed(change: Change) -> str:
    return "–" if isnan(change.difference) else f"{change.difference:+.3f}"
