"""Charts as SVG text to stand inside a page. Text takes the page's own colour, so that it reads on light and dark."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fission_grpo.reports.data import Evaluation, Run, method_of
from fission_grpo.reports.definitions import LEARNING_CURVES

COLOURS = {"Start": "#8a8f98", "GRPO": "#4c8dd6", "Fission-GRPO": "#e0662f", "grpo": "#4c8dd6", "fission": "#e0662f"}
"""One colour a method on every chart, whatever the seed, and one an arm of a comparison; those beyond these take
`SPARE_COLOURS` in order."""
SPARE_COLOURS = ("#3ba272", "#9a60b4", "#d4a72c", "#c2577e", "#2fa5b5")
GOOD, BAD = "#2f9e6b", "#d0563f"
"""Of what should be high, and of what should be low; both read on light and on dark."""
LINES = ("-", "--", ":", "-.")
"""Runs of one method, in order."""
MOST_NAMED = 8
"""Runs that a legend names one by one; of more, it names the methods."""
SMOOTHING = 7
"""Updates in the moving average; the updates themselves are drawn thin behind it."""
INK = "#010203"
"""Stands for the page's text colour while matplotlib draws; replaced by `currentColor` in the SVG."""


@dataclass(frozen=True)
class Panel:
    """One of several small charts over the updates.

    Attributes:
        value: what is drawn, of a line of `metrics.jsonl`; None where there was nothing to measure.
        from_zero: the axis begins at zero, as that of a share or count should.
    """

    title: str
    value: Callable[[Mapping[str, Any]], float | None]
    from_zero: bool = True


def learning_curves(runs: Sequence[Run]) -> str:
    """Small multiples of the training metrics over the updates, one line a run. Empty without data."""
    panels = [
        Panel(name.replace("_", " "), lambda step, name=name: step.get(name), name != "reward") for name in LEARNING_CURVES
    ]
    return small_multiples(runs, panels)


def small_multiples(runs: Sequence[Run], panels: Sequence[Panel]) -> str:
    """Panels in a row, one line a run; those for which no run has data are left out. Empty without any."""
    drawn = [panel for panel in panels if any(_series(run, panel)[0] for run in runs)]
    if not drawn:
        return ""
    shown = [run for run in runs if any(_series(run, panel)[0] for panel in drawn)]
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots(1, max(2, len(drawn)), squeeze=False)[0]
    for axis, panel in zip(axes, drawn, strict=False):
        _draw_panel(axis, panel, shown, colours_of([run.label for run in runs]))
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    _add_legend(figure, axes[0])
    return svg(figure)


def _draw_panel(axis: Axes, panel: Panel, runs: Sequence[Run], colours: Mapping[str, str]) -> None:
    looks = _looks(runs)
    width = 2.0 if len(runs) <= MOST_NAMED else 1.2
    for run in runs:
        colour, look = colours[run.label], looks[run.label]
        steps, values = _series(run, panel)
        if len(steps) > SMOOTHING:  # fewer points are no trend
            axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
            values = _smooth(values)
        axis.plot(steps, values, color=colour, linestyle=look, linewidth=width, label=run.label)
    axis.set_title(panel.title, fontsize=10, loc="left", fontweight="bold", color=INK)
    axis.set_xlabel("update", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.from_zero:
        axis.set_ylim(0, max(0.05, axis.get_ylim()[1]))
    style(axis)


def _add_legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    names = labels if len(labels) <= MOST_NAMED else list(map(method_of, labels))
    lines = dict(zip(names, handles, strict=True))
    figure.legend(
        list(lines.values()), list(lines), loc="outside upper left", ncols=4, frameon=False, fontsize=8, labelcolor=INK
    )


def failure_bars(evaluations: Sequence[Evaluation]) -> str:
    """Failed messages by kind for every policy, per 100 episodes, most frequent kind on top. Empty without failures."""
    shown = [evaluation for evaluation in evaluations if evaluation.failures and evaluation.episodes]
    kinds = sorted(
        {kind for evaluation in shown for kind in evaluation.failures}, key=lambda kind: _frequency(shown[0], kind)
    )
    if not kinds:
        return ""
    figure = Figure(figsize=(10, 0.6 + 0.15 * len(kinds) * (len(shown) + 0.8)), layout="constrained")
    axis = figure.subplots()
    colours = colours_of([evaluation.label for evaluation in shown])
    height = 0.8 / len(shown)
    for index, evaluation in enumerate(shown):
        places = [place + 0.4 - (index + 0.5) * height for place in range(len(kinds))]
        values = [_frequency(evaluation, kind) for kind in kinds]
        bars = axis.barh(places, values, height * 0.9, color=colours[evaluation.label], label=evaluation.label)
        axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=3, color=INK)
    axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axis.set_xlabel("failed messages per 100 episodes", fontsize=8)
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
    style(axis)
    axis.tick_params(axis="y", length=0, labelsize=9)
    axis.grid(visible=False, axis="y")
    return svg(figure)


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A colour for every label: that of its method, or the next spare one where the method has none."""
    spare = iter(SPARE_COLOURS * len(labels))
    methods = {method: COLOURS.get(method) or next(spare) for method in dict.fromkeys(map(method_of, labels))}
    return {label: methods[method_of(label)] for label in labels}


def _looks(runs: Sequence[Run]) -> dict[str, str]:
    """A kind of line for every label: runs of one method share a colour."""
    seen, looks = Counter[str](), dict[str, str]()
    for run in runs:
        method = method_of(run.label)
        looks[run.label] = LINES[seen[method] % len(LINES)]
        seen[method] += 1
    return looks


def _series(run: Run, panel: Panel) -> tuple[list[int], list[float]]:
    points = [(int(step["step"]), float(value)) for step in run.steps if (value := panel.value(step)) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _smooth(values: Sequence[float]) -> list[float]:
    """Centred moving average; near the ends over the updates that there are."""
    reach = SMOOTHING // 2
    windows = [values[max(0, index - reach) : index + reach + 1] for index in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _frequency(evaluation: Evaluation, kind: str) -> float:
    return 100.0 * evaluation.failures.get(kind, 0) / evaluation.episodes


def style(axis: Axes) -> None:
    """The look of every chart: light axes, text in the colour of the page."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#8a8f98")
    axis.tick_params(colors=INK, labelsize=8)
    axis.xaxis.label.set_color(INK)
    axis.grid(color="#8a8f98", alpha=0.2, linewidth=0.6)
    axis.set_axisbelow(True)


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element without fixed size, background or metadata."""
    figure.patch.set_alpha(0.0)
    for axis in figure.axes:
        axis.patch.set_alpha(0.0)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fission"}):  # text as text; ids that do not vary
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
