"""Charts of a comparison as SVG: learning curves over compute, and the differences with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fission_grpo.reports.comparison_folder import ArmRuns, ComparedRuns, SeedRun
from fission_grpo.reports.comparison_tables import COMPARED, PRIMARY, ComparisonTable, DifferenceRow
from fission_grpo.reports.comparison_text import p_text, signed
from fission_grpo.reports.definitions import CURVES
from fission_grpo.reports.plots import BAD, COLOURS, GOOD, INK, SMOOTHING, SPARE_COLOURS, style, svg

POINTS = 120
"""Of the common grid that the runs of an arm are averaged on."""
_SPARE = (
    *SPARE_COLOURS, "#7a8b2e", "#8c6d4f", "#5b5fc7", "#e08fb0", "#4f8a8b", "#b0523f", "#6fa8dc", "#a3a3a3", "#c9a66b",
)  # fmt: skip
"""As many as there are methods and ablations to tell apart; beyond them colours repeat."""
_METHOD_COLOURS = {"grpo": COLOURS["GRPO"], "fission": COLOURS["Fission-GRPO"]}
_NEUTRAL = "#8a8f98"
_LINES = {"step": "-", "episode": "--"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """An arm's curve on a grid.

    Attributes:
        millions: tokens processed (P,).
        mean, low, high: over the seeds (P,); the lowest and the highest seed bound the band.
    """

    millions: Floats
    mean: Floats
    low: Floats
    high: Floats


def curves_over_compute(compared: ComparedRuns) -> str:
    """Small multiples of the training metrics over tokens processed, an arm a line. Empty without data."""
    arms = [arm for arm in compared.arms if arm.runs]
    bands = {name: {arm.name: band_of(arm, name, compared.budget) for arm in arms} for name in CURVES}
    drawn = [name for name, of_arms in bands.items() if any(band is not None for band in of_arms.values())]
    if not drawn:
        return ""
    colours = arm_colours(arms)
    figure = Figure(figsize=(10, 2.8 * ((len(drawn) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(drawn) + 1) // 2, 2, squeeze=False).flatten()
    for axis, name in zip(axes, drawn, strict=False):
        for arm in arms:
            band = bands[name][arm.name]
            if band is not None:
                _draw_band(axis, band, arm, colours[arm.name])
        axis.set_title(name.replace("_", " "), fontsize=10, loc="left", fontweight="bold", color=INK)
        axis.set_xlabel("million tokens processed", fontsize=8)
        axis.set_xlim(0, compared.budget / 1e6)
        if name != "reward":
            axis.set_ylim(0, max(0.05, axis.get_ylim()[1]))
        style(axis)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, labelcolor=INK, loc="outside upper center", ncols=6)
    return svg(figure)


def band_of(arm: ArmRuns, metric: str, budget: int) -> Band | None:
    """The mean of an arm's seeds where all of them have data, and never beyond the budget. None where that is nowhere."""
    series = [curve for curve in (_curve(run, metric) for run in arm.runs.values()) if curve is not None]
    if not series:
        return None
    first = max(tokens[0] for tokens, _ in series)
    last = min(budget / 1e6, *(tokens[-1] for tokens, _ in series))
    if first >= last:
        return None
    grid_P = np.linspace(first, last, POINTS)
    values_SP = np.stack([np.interp(grid_P, tokens, values) for tokens, values in series])
    return Band(grid_P, values_SP.mean(axis=0), values_SP.min(axis=0), values_SP.max(axis=0))


def forest(table: ComparisonTable) -> str:
    """A panel a primary metric, a row an arm: difference, 95% interval, the single seeds. Empty without differences."""
    arms = list(dict.fromkeys(row.arm for row in table.differences))
    if not arms:
        return ""
    metrics = [metric for metric in COMPARED if metric.key in PRIMARY]
    figure = Figure(figsize=(10, 0.9 + 0.42 * len(arms)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        rows = {row.arm: row for row in table.differences_of(metric.key)}
        for place, arm in enumerate(arms):
            _draw_difference(axis, place, rows[arm])
        axis.axvline(0.0, color=_NEUTRAL, linewidth=1)
        axis.set_title(f"{metric.title} {metric.arrow}", fontsize=10, loc="left", fontweight="bold", color=INK)
        axis.margins(x=0.15)
        style(axis)
        axis.tick_params(axis="y", length=0, labelsize=8.5)
        axis.grid(visible=False, axis="y")
    baselines = {row.arm: row.baseline for row in table.differences}
    labels = axes[0].set_yticks(range(len(arms)), [f"{arm} − {baselines[arm]}" for arm in arms])
    for tick in labels:
        tick.label1.set_parse_math(False)  # a name is no formula, whatever it holds
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    return svg(figure)


def arm_colours(arms: Sequence[ArmRuns]) -> dict[str, str]:
    """The first arm of a method has the method's colour at its granularity, every other one the next spare one."""
    spare = iter(_SPARE * len(arms))
    taken: set[tuple[str, str]] = set()
    colours: dict[str, str] = {}
    for arm in arms:
        key = ("", "") if arm.recipe is None else (arm.recipe.method, arm.recipe.granularity)
        own = _METHOD_COLOURS.get(key[0]) if key not in taken else None
        taken.add(key)
        colours[arm.name] = own or next(spare)
    return colours


def _curve(run: SeedRun, metric: str) -> tuple[Floats, Floats] | None:
    """Million tokens processed and the smoothed metric, at the updates that have one; None where no update has."""
    spent, points = 0.0, list[tuple[float, float]]()
    for step in run.steps:
        spent += sum((step.get("tokens") or {}).values()) / 1e6
        if step.get(metric) is not None:
            points.append((spent, float(step[metric])))
    if not points:
        return None
    tokens, values = np.array(points).T
    return tokens, _smoothed(values)


def _smoothed(values: Floats) -> Floats:
    """Centred moving average; near the ends over the updates that there are."""
    window = np.ones(SMOOTHING)
    if len(values) < SMOOTHING:
        return values
    return np.convolve(values, window, mode="same") / np.convolve(np.ones_like(values), window, mode="same")


def _draw_band(axis: Axes, band: Band, arm: ArmRuns, colour: str) -> None:
    line = _LINES[arm.recipe.granularity] if arm.recipe is not None else "-"
    axis.plot(band.millions, band.mean, color=colour, linewidth=2, linestyle=line, label=arm.name)
    if len(arm.runs) > 1:
        axis.fill_between(band.millions, band.low, band.high, color=colour, alpha=0.18, linewidth=0)


def _draw_difference(axis: Axes, place: int, row: DifferenceRow) -> None:
    found = row.difference
    if np.isnan(found.difference):
        axis.annotate("no denominator", (0, place), va="center", fontsize=7.5, color=INK)
        return
    colour = (GOOD if row.is_better else BAD) if row.is_clear else _NEUTRAL
    axis.plot([found.interval.low, found.interval.high], [place, place], color=colour, linewidth=2.5, alpha=0.6)
    axis.plot(found.by_seed, [place + 0.22] * len(found.by_seed), color=_NEUTRAL, marker="|", markersize=6, linestyle="none")
    axis.plot([found.difference], [place], color=colour, marker="o", markersize=7)
    told = (
        f"{signed(found.difference)}   p {p_text(row.corrected)}" if row.corrected is not None else signed(found.difference)
    )
    axis.annotate(
        told, (found.difference, place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=7.5, color=INK
    )
