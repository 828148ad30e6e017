"""The section of a comparison in a report (`templates/comparison.html`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fission_grpo.reports.comparison_plots import curves_over_compute, forest
from fission_grpo.reports.comparison_tables import COMPARED, ComparisonTable, DifferenceRow, notes_of
from fission_grpo.reports.comparison_text import (
    interval_text,
    p_text,
    run_cells,
    run_heads,
    signed,
)
from fission_grpo.reports.definitions import CURVES, MetricDefinition
from fission_grpo.reports.grids import Cell, Grid

_GROUPS = (COMPARED[:5], COMPARED[5:])
"""Metrics that stand side by side in a table, as many as fit."""


@dataclass(frozen=True)
class ComparisonSection:
    """What `templates/comparison.html` shows, by the name `compared`.

    Attributes:
        grids: tables of arms and metrics: rates and differences, by group of metrics.
        forest, curves: SVGs.
        runs: the head of a table, and its rows as text.
    """

    command: str
    grids: Sequence[Grid]
    forest: Markup
    curves: Markup
    run_heads: Sequence[str]
    runs: Sequence[Sequence[str]]
    notes: Sequence[str]
    meanings: Mapping[str, str]
    metrics: Sequence[MetricDefinition]
    hashes: Mapping[str, str]
    versions: Mapping[str, str]


def comparison_section(table: ComparisonTable) -> ComparisonSection:
    """The section of a comparison's table."""
    compared = table.compared
    return ComparisonSection(
        command=compared.command,
        grids=[grid for metrics in _GROUPS for grid in (_rates(table, metrics), _differences(table, metrics)) if grid.rows],
        forest=Markup(forest(table)),  # drawn by matplotlib, which escapes the text that it draws
        curves=Markup(curves_over_compute(compared)),
        run_heads=run_heads(table),
        runs=[run_cells(table, row) for row in table.rows],
        notes=notes_of(table),
        meanings=CURVES,
        metrics=COMPARED,
        hashes=compared.hashes,
        versions=compared.versions,
    )


def _rates(table: ComparisonTable, metrics: Sequence[MetricDefinition]) -> Grid:
    rows: list[tuple[str, list[Cell | None]]] = []
    for row in table.rows:
        cells: list[Cell | None] = []
        for metric in metrics:
            ratio = row.cells[metric.key].ratio
            shown = "–" if ratio.value is None else f"{ratio.value:.3f}"
            counts = f"{ratio.numerator}/{ratio.denominator}"
            cells.append(Cell(shown, counts, "", ratio.value, metric.better == "higher"))
        rows.append((row.arm.name, cells))
    return Grid("rates", _heads(metrics), rows)


def _differences(table: ComparisonTable, metrics: Sequence[MetricDefinition]) -> Grid:
    arms = list(dict.fromkeys((row.arm, row.baseline) for row in table.differences))
    found = {(row.arm, row.metric.key): row for row in table.differences}
    rows = [(f"{arm} − {baseline}", [_cell(found[arm, metric.key]) for metric in metrics]) for arm, baseline in arms]
    return Grid("differences", _heads(metrics), rows)


def _heads(metrics: Sequence[MetricDefinition]) -> list[str]:
    return [f"{metric.title} {metric.arrow}" for metric in metrics]


def _cell(row: DifferenceRow) -> Cell:
    if math.isnan(row.difference.difference):
        return Cell("–")
    verdict = ("better" if row.is_better else "worse") if row.is_clear else ""
    p = "" if row.corrected is None else f" p {p_text(row.corrected)}"
    return Cell(signed(row.difference.difference), p, interval_text(row.difference.interval), verdict=verdict)
