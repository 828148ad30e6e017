"""The comparison table: every rate of every policy with its numerator and denominator, and a difference with interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.statistics import Difference, paired_difference
from fission_grpo.reports.data import Evaluation
from fission_grpo.reports.definitions import METRICS, MetricDefinition
from fission_grpo.reports.texts import visible


@dataclass(frozen=True)
class Row:
    """One metric over all policies: the table is turned, since metrics are many and policies few.

    Attributes:
        ratios: one a policy.
        difference: the last policy minus the one before it, over the same tasks; None where there is only one.
    """

    metric: MetricDefinition
    ratios: tuple[Ratio, ...]
    difference: Difference | None = None

    @property
    def change(self) -> str:
        """The difference with its interval, as text."""
        if self.difference is None or self.difference.difference != self.difference.difference:
            return "-"
        interval = self.difference.interval
        return f"{self.difference.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        return self.difference is not None and (self.difference.interval.low > 0 or self.difference.interval.high < 0)

    @property
    def is_better(self) -> bool:
        """Whether the difference goes the right way."""
        return self.difference is not None and (self.difference.difference > 0) == (self.metric.better == "higher")


@dataclass(frozen=True)
class Comparison:
    """The table of some evaluations, the same tasks for all."""

    evaluations: Sequence[Evaluation]

    @property
    def change_title(self) -> str | None:
        """Head of the column of differences, or None where there is nothing to compare."""
        if len(self.evaluations) < 2:
            return None
        before, last = self.evaluations[-2:]
        return f"{last.label} - {before.label}"

    def rows(self) -> list[Row]:
        """One a metric. Intervals are 95% by bootstrap over scenarios; with one seed they hold for that seed alone."""
        return [self._row(metric) for metric in METRICS]

    def _row(self, metric: MetricDefinition) -> Row:
        ratios = tuple(evaluation.metrics.get(metric.key, Ratio()) for evaluation in self.evaluations)
        if len(self.evaluations) < 2:
            return Row(metric, ratios)
        before, last = self.evaluations[-2:]
        return Row(metric, ratios, paired_difference([last.records], [before.records], metric.key))


def rich_table(comparison: Comparison) -> Table:
    """The table for a terminal; a difference whose interval leaves out zero is green or red."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    table.add_column("")
    for evaluation in comparison.evaluations:
        table.add_column(escape(visible(evaluation.label)), justify="right")
    if comparison.change_title is not None:
        table.add_column(f"{comparison.change_title} [dim](95%)[/]", justify="right")
    for row in comparison.rows():
        cells = [str(ratio) for ratio in row.ratios]
        if row.difference is not None:
            colour = ("green" if row.is_better else "red") if row.is_clear else "default"
            cells.append(f"[{colour}]{row.change.replace('[', chr(92) + '[')}[/]")
        table.add_row(f"{row.metric.title} [dim]{row.metric.arrow}[/]", *cells)
    return table


def markdown_table(comparison: Comparison) -> str:
    """The table for a README; a difference whose interval leaves out zero is bold."""
    heads = [evaluation.label for evaluation in comparison.evaluations]
    if comparison.change_title is not None:
        heads.append(f"{comparison.change_title} (95%)")
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for row in comparison.rows():
        cells = [str(ratio) for ratio in row.ratios]
        if row.difference is not None:
            cells.append(f"**{row.change}**" if row.is_clear else row.change)
        lines.append(f"| {row.metric.title} {row.metric.arrow} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
