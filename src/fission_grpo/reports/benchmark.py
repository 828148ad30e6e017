"""The report of a benchmark: one HTML file that needs nothing else.

What a result file or a folder's name holds is escaped by the template engine.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fission_grpo.disk import write_whole
from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.evaluation.bfcl.records import ACCURACY, BY_CLASS, BY_KIND
from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.benchmark_plots import recovery_overview
from fission_grpo.reports.benchmark_tables import (
    SHOWN,
    counts,
    notes_of,
    percent,
    percent_interval,
    rate_interval,
    title_of,
)
from fission_grpo.reports.definitions import MetricDefinition
from fission_grpo.reports.grids import Cell, Grid
from fission_grpo.reports.pages import render_page

SLICED = tuple(metric for metric in SHOWN if metric.key in ("recovery_rate_turn", "recovery_rate_call", "repeat_rate"))
"""What is also shown by category, by API class and by kind of error."""


@dataclass(frozen=True)
class Part:
    """A section with the same figures by something."""

    title: str
    meaning: str
    grids: Sequence[Grid]


def write_benchmark_report(summaries: Sequence[ModelSummary], path: Path, notes: Sequence[str] = ()) -> None:
    """Writes the report as one self-contained HTML file."""
    write_whole(path, render_benchmark(summaries, notes))


def render_benchmark(summaries: Sequence[ModelSummary], notes: Sequence[str] = ()) -> str:
    """The report as HTML text, models in the order given.

    Args:
        notes: sentences on how the results were made.
    """
    return render_page(
        "benchmark.html",
        accuracy=accuracy_grid(summaries),
        recovery=recovery_grid(summaries),
        overview=Markup(recovery_overview(summaries, SLICED)),  # drawn by matplotlib, which escapes the text that it draws
        parts=[by_category(summaries), by_class(summaries), by_kind(summaries)],
        metrics=SHOWN,
        notes=[*notes, *notes_of(summaries)],
    )


def accuracy_grid(summaries: Sequence[ModelSummary]) -> Grid:
    """The multi-turn score and its four categories, in percent."""
    rows: list[tuple[str, list[Cell | None]]] = []
    for summary in summaries:
        mean, interval = summary.overall
        cells: list[Cell | None] = [Cell(f"{100 * mean:.2f}", interval=percent_interval(interval))]
        for records in summary.categories.values():
            ratio = summary.rows(records, [ACCURACY])[0].ratio
            cells.append(Cell(percent(ratio), counts(ratio)) if records else None)
        rows.append((summary.model, cells))
    return Grid("model", ["multi-turn", *map(title_of, CATEGORIES)], rows)


def recovery_grid(summaries: Sequence[ModelSummary]) -> Grid:
    """All recovery metrics of all entries."""
    keys = [metric.key for metric in SHOWN]
    rows = [
        (
            summary.model,
            [_cell(row.ratio, metric, rate_interval(row.interval))
             for metric, row in zip(SHOWN, summary.rows(summary.records, keys), strict=True)],
        )
        for summary in summaries
    ]  # fmt: skip
    return Grid("model", [_head(metric) for metric in SHOWN], rows)


def by_category(summaries: Sequence[ModelSummary]) -> Part:
    """Recovery in each of the four categories."""

    def cell(summary: ModelSummary, metric: MetricDefinition, category: str) -> Cell | None:
        records = summary.categories[category]
        row = summary.rows(records, [metric.key])[0]
        return _cell(row.ratio, metric, rate_interval(row.interval)) if records else None

    cells = [[[cell(summary, metric, category) for category in CATEGORIES] for metric in SLICED] for summary in summaries]
    meaning = "Entries of one category alone, with their 95% intervals."
    return Part("By category", meaning, _grids(summaries, "category", [title_of(name) for name in CATEGORIES], cells))


def by_class(summaries: Sequence[ModelSummary]) -> Part:
    """Recovery by the API that was called."""
    meaning = "Erred calls by the class of the tool called; turns by the first call that erred in them."
    return Part("By API class", meaning, _slice_grids(summaries, BY_CLASS, "API class"))


def by_kind(summaries: Sequence[ModelSummary]) -> Part:
    """Recovery by what the error says."""
    meaning = "Erred calls by what the environment's text says; turns by the first of their errors."
    return Part("By kind of error", meaning, _slice_grids(summaries, BY_KIND, "kind of error"))


def _slice_grids(summaries: Sequence[ModelSummary], dimension: str, corner: str) -> list[Grid]:
    """The most frequent value first, over all models."""
    frequency: Counter[str] = Counter()
    for summary in summaries:
        erred = summary.slices(dimension, "repeat_rate")
        frequency.update({value: ratio.denominator for value, ratio in erred.items()})
    values = [value for value, count in frequency.most_common() if count]
    cells = [
        [[_cell(found.get(value, Ratio()), metric) for value in values] for metric, found in _found(summary, dimension)]
        for summary in summaries
    ]
    return _grids(summaries, corner, [_spaced(value) for value in values], cells)


def _found(summary: ModelSummary, dimension: str) -> list[tuple[MetricDefinition, dict[str, Ratio]]]:
    return [(metric, summary.slices(dimension, metric.key)) for metric in SLICED]


def _grids(
    summaries: Sequence[ModelSummary],
    corner: str,
    values: Sequence[str],
    cells: Sequence[Sequence[Sequence[Cell | None]]],
) -> list[Grid]:
    """A table a metric with a row a model; of one model a single table with a row a value.

    Args:
        cells: by model, metric and value.
    """
    if not values:
        return []
    heads = [_head(metric) for metric in SLICED]
    if len(summaries) == 1:
        return [Grid(corner, heads, [(value, [row[place] for row in cells[0]]) for place, value in enumerate(values)])]
    return [
        Grid("model", values, [(summary.model, rows[place]) for summary, rows in zip(summaries, cells, strict=True)], head)
        for place, head in enumerate(heads)
    ]


def _cell(ratio: Ratio, metric: MetricDefinition, interval: str = "") -> Cell:
    if ratio.value is None:
        return Cell("–", counts(ratio))
    return Cell(f"{ratio.value:.3f}", counts(ratio), interval, ratio.value, metric.better == "higher")


def _spaced(value: str) -> str:
    """A class or a kind in words, so that a narrow head can break: `TwitterAPI`, `not_found`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", value).replace("_", " ")


def _head(metric: MetricDefinition) -> str:
    return f"{metric.title} {metric.arrow}"
