"""The report of a benchmark: a table for the terminal, and one HTML file with tables and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.table import Table

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.evaluation.bfcl.records import ACCURACY, BY_CLASS, BY_KIND
from fission_grpo.evaluation.bfcl.summary import RECOVERY, ModelSummary
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.benchmark_plots import recovery_overview, slice_bars
from fission_grpo.reports.definitions import METRICS, MetricDefinition

SHOWN = tuple(metric for metric in METRICS if metric.key in RECOVERY)
SLICED = tuple(metric for metric in METRICS if metric.key in ("recovery_rate_turn", "recovery_rate_call", "repeat_rate"))
_SLICES = (
    (BY_CLASS, "By API class", "Erred calls by the class of the tool called; turns by the first call that erred in them."),
    (BY_KIND, "By kind of error", "Erred calls by what the environment's text says; turns by the first of their errors."),
)


def title_of(category: str) -> str:
    """A category as a heading: `multi_turn_miss_func` -> `miss func`."""
    return category.removeprefix("multi_turn_").replace("_", " ")


def score_table(summaries: Sequence[ModelSummary]) -> Table:
    """Accuracy by category, for a terminal."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name in ("model", "multi-turn"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for category in CATEGORIES:
        table.add_column(title_of(category), justify="right")
    for summary in summaries:
        mean, interval = summary.overall
        cells = [_percent(cell.ratio) if cell else "[red]not played[/]" for cell in _accuracy_cells(summary)]
        shown = f"{100 * mean:.2f} [dim]{_interval(interval.low, interval.high)}[/]"
        table.add_row(summary.model, shown, *cells)
    return table


def recovery_table(summaries: Sequence[ModelSummary]) -> Table:
    """Recovery metrics, for a terminal."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    table.add_column("")
    for summary in summaries:
        table.add_column(summary.model, justify="right", overflow="fold")
    rows = [summary.rows(summary.records, [metric.key for metric in SHOWN]) for summary in summaries]
    for place, metric in enumerate(SHOWN):
        cells = [f"{of_model[place].ratio} [dim]\\{of_model[place].interval}[/]" for of_model in rows]
        table.add_row(f"{metric.title} [dim]{metric.arrow}[/]", *cells)
    return table


def notes_of(summaries: Sequence[ModelSummary]) -> list[str]:
    """What a reader must know before believing the figures."""
    notes: list[str] = []
    for summary in summaries:
        if summary.absent_categories:
            absent = ", ".join(map(title_of, summary.absent_categories))
            notes.append(
                f"{summary.model}: {absent} not played, and counted as 0 in the multi-turn score, as on the leaderboard."
            )
        if summary.missing:
            notes.append(
                f"{summary.model}: {summary.missing} entries are missing (infrastructure errors); they count nowhere."
            )
        if summary.context_exceeded:
            notes.append(
                f"{summary.model}: {summary.context_exceeded} of {len(summary.records)} entries outgrew the model's "
                "context, and count as wrong."
            )
        if summary.faults:
            notes.append(f"{summary.model}: {summary.faults} entries could not be judged, and count nowhere.")
    return notes


def write_benchmark_report(summaries: Sequence[ModelSummary], path: Path, notes: Sequence[str] = ()) -> None:
    """Writes the report as one self-contained HTML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_benchmark(summaries, notes), encoding="utf-8")


def render_benchmark(summaries: Sequence[ModelSummary], notes: Sequence[str] = ()) -> str:
    """The report as HTML text. Whatever a result file holds is escaped by the template engine."""
    environment = Environment(
        loader=PackageLoader("fission_grpo.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["title_of"] = title_of
    return environment.get_template("benchmark.html").render(
        categories=CATEGORIES,
        accuracy=[_accuracy_row(summary) for summary in summaries],
        metrics=SHOWN,
        recovery=[
            {"model": summary.model, "cells": summary.rows(summary.records, [metric.key for metric in SHOWN])}
            for summary in summaries
        ],
        overview=Markup(recovery_overview(summaries)),  # drawn by matplotlib, which escapes the text that it draws
        slices=[_slice(summaries, *part) for part in _SLICES],
        notes=[*notes, *notes_of(summaries)],
    )


def _accuracy_cells(summary: ModelSummary) -> list[Any]:
    return [summary.rows(records, [ACCURACY])[0] if records else None for records in summary.categories.values()]


def _accuracy_row(summary: ModelSummary) -> dict[str, Any]:
    mean, interval = summary.overall
    cells = _accuracy_cells(summary)
    return {"model": summary.model, "overall": mean, "interval": _interval(interval.low, interval.high), "cells": cells}


def _slice(summaries: Sequence[ModelSummary], dimension: str, title: str, meaning: str) -> dict[str, Any]:
    return {
        "dimension": "API class" if dimension == BY_CLASS else "kind of error",
        "title": title,
        "meaning": meaning,
        "metrics": SLICED,
        "figure": Markup(slice_bars(summaries, dimension)),
        "rows": [row for summary in summaries for row in _slice_rows(summary, dimension, SLICED)],
    }


def _slice_rows(summary: ModelSummary, dimension: str, metrics: Sequence[MetricDefinition]) -> list[dict[str, Any]]:
    by_metric = [summary.slices(dimension, metric.key) for metric in metrics]
    values = list(dict.fromkeys(value for found in by_metric for value in found))
    return [
        {"model": summary.model, "value": value, "ratios": [found.get(value, Ratio()) for found in by_metric]}
        for value in values
    ]


def _percent(ratio: Ratio) -> str:
    return "-" if ratio.value is None else f"{100 * ratio.value:.2f} [dim]({ratio.numerator}/{ratio.denominator})[/]"


def _interval(low: float, high: float) -> str:
    return f"({100 * low:.1f} to {100 * high:.1f})"
