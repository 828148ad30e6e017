"""Charts as SVG text to stand inside a page. Text takes the page's own colour, so that it reads on light and dark."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fission_grpo.reports.data import Evaluation, Run
from fission_grpo.reports.definitions import CURVES

COLOURS = {"Start": "#8a8f98", "GRPO": "#4c8dd6", "Fission-GRPO": "#e0662f"}
"""One colour a method on every chart; runs beyond these take `SPARE_COLOURS` in order."""
SPARE_COLOURS = ("#3ba272", "#9a60b4", "#d4a72c", "#c2577e", "#2fa5b5")
GOOD, BAD = "#2f9e6b", "#d0563f"
"""Of what should be high, and of what should be low; both read on light and on dark."""
SMOOTHING = 7
"""Updates in the moving average; the updates themselves are drawn thin behind it."""
INK = "#010203"
"""Stands for the page's text colour while matplotlib draws; replaced by `currentColor` in the SVG."""


def learning_curves(runs: Sequence[Run]) -> str:
    """Small multiples of the training metrics over the updates, one line a run. Empty without data."""
    drawn = [name for name in CURVES if any(_series(run, name)[0] for run in runs)]
    if not drawn:
        return ""
    figure = Figure(figsize=(10, 2.6 * ((len(drawn) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(drawn) + 1) // 2, 2, squeeze=False).flatten()
    colours = colours_of([run.label for run in runs])
    for axis, name in zip(axes, drawn, strict=False):
        for run in runs:
            steps, values = _series(run, name)
            if len(steps) > SMOOTHING:  # fewer points are no trend
                axis.plot(steps, values, color=colours[run.label], alpha=0.25, linewidth=0.8)
                values = _smooth(values)
            axis.plot(steps, values, color=colours[run.label], linewidth=2, label=run.label)
        axis.set_title(name.replace("_", " "), fontsize=10, loc="left", fontweight="bold", color=INK)
        axis.set_xlabel("update", fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name != "reward":
            axis.set_ylim(0, max(0.05, axis.get_ylim()[1]))
        style(axis)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, labelcolor=INK)
    return svg(figure)


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
    """A colour for every label: the method's own where the label is one, else the next spare one."""
    spare = iter(SPARE_COLOURS * len(labels))
    return {label: COLOURS.get(label) or next(spare) for label in labels}


def _series(run: Run, name: str) -> tuple[list[int], list[float]]:
    points = [(int(step["step"]), float(step[name])) for step in run.steps if step.get(name) is not None]
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
