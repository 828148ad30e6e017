"""The comparison table: policies by metrics, every rate with its numerator and denominator."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from fission_grpo.reports.data import Evaluation, Ratio
from fission_grpo.reports.definitions import METRICS, MetricDefinition


@dataclass(frozen=True)
class Cell:
    """One rate of one policy.

    Attributes:
        ratio: None where the evaluation did not measure it.
        best: no other row of the table does better.
    """

    ratio: Ratio | None
    best: bool

    def __str__(self) -> str:
        return "-" if self.ratio is None else str(self.ratio)


@dataclass(frozen=True)
class Row:
    """One metric over all policies: the table is turned, since metrics are many and policies few."""

    metric: MetricDefinition
    cells: tuple[Cell, ...]


def comparison_rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """The rows of the table; metrics that no evaluation measured are left out."""
    rows: list[Row] = []
    for metric in METRICS:
        ratios = [evaluation.metrics.get(metric.key) for evaluation in evaluations]
        if any(ratio is not None for ratio in ratios):
            best = _best(metric, ratios)
            rows.append(Row(metric, tuple(Cell(ratio, _is(ratio, best)) for ratio in ratios)))
    return rows


def rich_table(evaluations: Sequence[Evaluation]) -> Table:
    """The table for a terminal: the best of a row in bold green."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    table.add_column("")
    for evaluation in evaluations:
        table.add_column(evaluation.label, justify="right")
    for row in comparison_rows(evaluations):
        cells = [f"[bold green]{cell}[/]" if cell.best and len(row.cells) > 1 else str(cell) for cell in row.cells]
        table.add_row(f"{row.metric.title} [dim]{_arrow(row.metric)}[/]", *cells)
    return table


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """The table for a README: the best of a row in bold."""
    lines = [
        "| | " + " | ".join(evaluation.label for evaluation in evaluations) + " |",
        "|---|" + "--:|" * len(evaluations),
    ]
    for row in comparison_rows(evaluations):
        cells = [f"**{cell}**" if cell.best and len(row.cells) > 1 else str(cell) for cell in row.cells]
        lines.append(f"| {row.metric.title} {_arrow(row.metric)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _best(metric: MetricDefinition, ratios: Sequence[Ratio | None]) -> float | None:
    values = [ratio.value for ratio in ratios if ratio is not None and ratio.value is not None]
    if not values:
        return None
    return max(values) if metric.better == "higher" else min(values)


def _is(ratio: Ratio | None, best: float | None) -> bool:
    return ratio is not None and ratio.value is not None and ratio.value == best


def _arrow(metric: MetricDefinition) -> str:
    return "↑" if metric.better == "higher" else "↓"
