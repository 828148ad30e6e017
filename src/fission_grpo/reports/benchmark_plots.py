"""The picture of a benchmark: who recovers and who repeats."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.evaluation.statistics import SummaryRow
from fission_grpo.reports.benchmark_tables import fold
from fission_grpo.reports.definitions import MetricDefinition
from fission_grpo.reports.plots import BAD, GOOD, INK, style, svg

_NAME_WIDTH = 30
_INCHES_A_LINE = 0.17


def recovery_overview(summaries: Sequence[ModelSummary], metrics: Sequence[MetricDefinition]) -> str:
    """A panel a metric, a row a model: rate, 95% interval and counts. Empty where no call erred.

    Args:
        summaries: from top to bottom.
    """
    rows = [summary.rows(summary.records, [metric.key for metric in metrics]) for summary in summaries]
    if not any(row.ratio.denominator for of_model in rows for row in of_model):
        return ""
    names = [fold(summary.model, _NAME_WIDTH) for summary in summaries]
    lines = sum(max(2, len(name)) + 0.4 for name in names)
    figure = Figure(figsize=(10, 0.75 + _INCHES_A_LINE * lines), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        _panel(axis, [of_model[place] for of_model in rows], metric)
    labels = axes[0].set_yticks(range(len(names)), ["\n".join(name) for name in names])
    for tick in labels:
        tick.label1.set_parse_math(False)  # a name is no formula, whatever dollars it holds
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return svg(figure)


def _panel(axis: Axes, rows: Sequence[SummaryRow], metric: MetricDefinition) -> None:
    colour = GOOD if metric.better == "higher" else BAD
    for place, row in enumerate(rows):
        value, low, high = row.ratio.value, row.interval.low, row.interval.high
        if value is not None:
            axis.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.55, solid_capstyle="butt")
            axis.plot([value], [place], color=colour, marker="o", markersize=7)
        counted = "no call erred" if value is None else f"{value:.3f}\n{row.ratio.numerator}/{row.ratio.denominator}"
        axis.annotate(
            counted, (1, place), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=INK,
        )  # fmt: skip
    axis.set_xlim(-0.02, 1.02)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axis.set_title(f"{metric.title} {metric.arrow}", fontsize=10, loc="left", fontweight="bold", color=INK)
    style(axis)
    axis.tick_params(axis="y", length=0, labelsize=8.5)
    axis.grid(visible=False, axis="y")
