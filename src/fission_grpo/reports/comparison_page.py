"""The section of a comparison in a report (`templates/comparison.html`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.comparison_plots import curves_over_compute, forest
from fission_grpo.reports.comparison_tables import (
    COMPARED,
    ELSEWHERE,
    ComparisonTable,
    DifferenceRow,
    OtherTable,
    notes_of,
)
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
        others: rates and differences on benchmarks that nothing was trained on.
    """

    command: str
    grids: Sequence[Grid]
    forest: Markup
    curves: Markup
    run_heads: Sequence[str]
    runs: Sequence[Sequence[str]]
    others: Sequence[Grid]
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
        grids=[
            grid
            for metrics in _GROUPS
            for grid in (_rates(table, metrics), _differences(table.differences, metrics))
            if grid.rows
        ],
        forest=Markup(forest(table)),  # drawn by matplotlib, which escapes the text that it draws
        curves=Markup(curves_over_compute(compared)),
        run_heads=run_heads(table),
        runs=[run_cells(table, row) for row in table.rows],
        others=[grid for other in table.others for grid in _elsewhere(other) if grid.rows],
        notes=notes_of(table),
        meanings=CURVES,
        metrics=COMPARED,
        hashes=compared.hashes,
        versions=compared.versions,
    )


def _rates(table: ComparisonTable, metrics: Sequence[MetricDefinition]) -> Grid:
    rows = [(row.arm.name, [_rate(row.cells[metric.key].ratio, metric) for metric in metrics]) for row in table.rows]
    return Grid("rates", _heads(metrics), rows)


def _rate(ratio: Ratio, metric: MetricDefinition) -> Cell:
    shown = "–" if ratio.value is None else f"{ratio.value:.3f}"
    return Cell(shown, f"{ratio.numerator}/{ratio.denominator}", "", ratio.value, metric.better == "higher")


def _elsewhere(other: OtherTable) -> list[Grid]:
    rows: list[tuple[str, list[Cell | None]]] = [
        (arm, [_rate(cells[metric.key].ratio, metric) for metric in ELSEWHERE]) for arm, cells in other.cells.items()
    ]
    if other.doing_nothing is not None:
        rows.append(("(doing nothing)", [_rate(other.doing_nothing, ELSEWHERE[0]), Cell(""), Cell("")]))
    rates = Grid(f"{other.name}: rates", _heads(ELSEWHERE), rows)
    return [rates, replace(_differences(other.differences, ELSEWHERE), corner=f"{other.name}: differences")]


def _differences(differences: Sequence[DifferenceRow], metrics: Sequence[MetricDefinition]) -> Grid:
    arms = list(dict.fromkeys((row.arm, row.baseline) for row in differences))
    found = {(row.arm, row.metric.key): row for row in differences}
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
