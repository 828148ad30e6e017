"""Pictures of a benchmark: who recovers and who repeats."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.reports.plots import INK, colours_of, style, svg

_METRICS = (("recovery_rate_call", "recovery (call)"), ("repeat_rate", "repeats"))
_MOST_BARS = 8


def recovery_overview(summaries: Sequence[ModelSummary]) -> str:
    """Every model at its repeat rate and its recovery by turn, with intervals. Empty where no call erred."""
    points = [(summary, *summary.rows(summary.records, ["repeat_rate", "recovery_rate_turn"])) for summary in summaries]
    drawn = [point for point in points if all(row.ratio.denominator for row in point[1:])]
    if not drawn:
        return ""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axis = figure.subplots()
    colours = colours_of([summary.model for summary, *_ in drawn])
    for summary, repeats, recovery in drawn:
        x, y = repeats.ratio.value or 0.0, recovery.ratio.value or 0.0
        spans = [
            [[max(0.0, value - row.interval.low)], [max(0.0, row.interval.high - value)]]
            for value, row in ((x, repeats), (y, recovery))
        ]
        colour = colours[summary.model]
        axis.errorbar(
            [x], [y], xerr=spans[0], yerr=spans[1], color=colour, marker="o", markersize=8, linewidth=1.2, alpha=0.9
        )
        axis.annotate(summary.model, (x, y), xytext=(8, 8), textcoords="offset points", fontsize=9, color=INK)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("repeats: erred calls that are made again and err again", fontsize=8)
    axis.set_ylabel("recovery (turn)", fontsize=8, color=INK)
    style(axis)
    return svg(figure)


def slice_bars(summaries: Sequence[ModelSummary], dimension: str) -> str:
    """Recovery and repetition of erred calls by API class or kind of error, frequent ones on top. Empty without errors."""
    frequency: dict[str, int] = {}
    for summary in summaries:
        for value, ratio in summary.slices(dimension, "repeat_rate").items():
            frequency[value] = frequency.get(value, 0) + ratio.denominator
    values = sorted(frequency, key=lambda value: frequency[value])[-_MOST_BARS:]
    if not values:
        return ""
    figure = Figure(figsize=(10, 0.9 + 0.2 * len(values) * (len(summaries) + 0.8)), layout="constrained")
    axes = figure.subplots(1, len(_METRICS), sharey=True)
    colours = colours_of([summary.model for summary in summaries])
    height = 0.8 / len(summaries)
    for axis, (metric, title) in zip(axes, _METRICS, strict=True):
        for index, summary in enumerate(summaries):
            ratios = [summary.slices(dimension, metric).get(value) for value in values]
            places = [place + 0.4 - (index + 0.5) * height for place in range(len(values))]
            shown = [ratio.value or 0.0 if ratio else 0.0 for ratio in ratios]
            bars = axis.barh(places, shown, height * 0.9, color=colours[summary.model], label=summary.model)
            counts = [f"{ratio.numerator}/{ratio.denominator}" if ratio else "-" for ratio in ratios]
            axis.bar_label(bars, counts, fontsize=7, padding=3, color=INK)
        axis.set_xlim(0, 1.15)
        axis.set_yticks(range(len(values)), [value.replace("_", " ") for value in values])
        axis.set_title(title, fontsize=10, loc="left", fontweight="bold", color=INK)
        style(axis)
        axis.grid(visible=False, axis="y")
    axes[0].legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
    return svg(figure)
