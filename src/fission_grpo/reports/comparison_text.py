"""A comparison's table as Markdown, as JSON, and for a terminal."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from fission_grpo.evaluation.statistics import Interval, SummaryRow
from fission_grpo.reports.comparison_tables import (
    COMPARED,
    ELSEWHERE,
    PRIMARY,
    ArmRow,
    ComparisonTable,
    DifferenceRow,
    OtherTable,
    filters_differ,
    notes_of,
)
from fission_grpo.reports.progress import duration


def markdown(table: ComparisonTable) -> str:
    """`comparison.md`."""
    compared = table.compared
    lines = ["# Comparison", "", f"`{compared.command}`", ""]
    lines += _markdown_table(["arm", *(f"{metric.title} {metric.arrow}" for metric in COMPARED)], rates(table))
    lines += ["", "## Differences", ""]
    lines += _markdown_table(DIFFERENCE_HEADS, [difference_cells(row) for row in table.differences], align=3)
    for other in table.others:
        lines += ["", f"## Elsewhere: {other.name}", ""]
        lines += _markdown_table(["arm", *(f"{metric.title} {metric.arrow}" for metric in ELSEWHERE)], other_rates(other))
        lines += ["", *_markdown_table(OTHER_HEADS, [difference_cells(row)[:6] for row in other.differences], align=3)]
    lines += ["", "## Runs", "", *_markdown_table(run_heads(table), [run_cells(table, row) for row in table.rows])]
    lines += ["", "## Notes", "", *(f"- {note}" for note in notes_of(table)), ""]
    hashes = [f"- {name}: sha256 {digest}" for name, digest in compared.hashes.items()]
    lines += ["## Inputs", "", *hashes, f"- {', '.join(f'{name} {found}' for name, found in compared.versions.items())}"]
    return "\n".join(lines) + "\n"


DIFFERENCE_HEADS = (
    "arm", "minus", "metric", "difference", "95% interval", "by seed", "p", "p (Holm)", "p (seeds)",
)  # fmt: skip


OTHER_HEADS = DIFFERENCE_HEADS[:6]


def other_rates(other: OtherTable) -> list[list[str]]:
    """Every arm with its rates on another benchmark, as text; last what doing nothing has."""
    rows = [[arm, *(str(cells[metric.key].ratio) for metric in ELSEWHERE)] for arm, cells in other.cells.items()]
    nothing = [] if other.doing_nothing is None else [["(doing nothing)", str(other.doing_nothing), "", ""]]
    return [*rows, *nothing]


def rates(table: ComparisonTable) -> list[list[str]]:
    """Every arm with its rates, as text."""
    return [[row.arm.name, *(str(row.cells[metric.key].ratio) for metric in COMPARED)] for row in table.rows]


def difference_cells(row: DifferenceRow) -> list[str]:
    """One difference under `DIFFERENCE_HEADS`."""
    flip = row.sign_flip
    return [
        row.arm,
        row.baseline,
        f"{row.metric.title} {row.metric.arrow}",
        signed(row.difference.difference),
        interval_text(row.difference.interval),
        ", ".join(signed(value) for value in row.difference.by_seed),
        p_text(row.p),
        p_text(row.corrected),
        "" if flip is None else f"{p_text(flip.p)} (≥ {p_text(flip.smallest)})",
    ]


def run_heads(table: ComparisonTable) -> list[str]:
    """What each arm's runs were; the signal filter where the arms differ in it."""
    filters = ["signal filter"] if filters_differ(table) else []
    kinds = [f"{kind} (M)" for kind in token_kinds(table)]
    return [
        "arm",
        "granularity",
        *filters,
        "seeds",
        "updates",
        "tokens (M)",
        *kinds,
        "wall time",
        "differs from its baseline in",
    ]


def run_cells(table: ComparisonTable, row: ArmRow) -> list[str]:
    """One arm under `run_heads`."""
    recipe = row.arm.recipe
    seeds = ", ".join(str(run.seed) for run in row.runs)
    if recipe is None:
        blank = len(run_heads(table)) - 3 - filters_differ(table)
        return [row.arm.name, "", *[""] * filters_differ(table), seeds, *[""] * blank]
    filters = [recipe.fission.signal_filter] if filters_differ(table) else []
    tokens = [f"{row.tokens.get(kind, 0.0) / 1e6:.3f}" for kind in token_kinds(table)]
    total = f"{sum(row.tokens.values()) / 1e6:.3f}"
    differs = ", ".join(f"{key}: {value}" for key, value in row.differs.items())
    spent = [f"{row.updates:.1f}", total, *tokens, duration(row.seconds)]
    return [row.arm.name, recipe.granularity, *filters, seeds, *spent, differs or "(baseline)"]


def token_kinds(table: ComparisonTable) -> list[str]:
    """Kinds of tokens that any arm spent."""
    kinds = dict.fromkeys(kind for row in table.rows for kind in row.tokens)
    return [kind for kind in kinds if any(row.tokens.get(kind) for row in table.rows)]


def to_json(table: ComparisonTable) -> str:
    """`comparison.json`: everything that the table shows; null stands for what is not known."""
    compared = table.compared
    content = {
        "command": compared.command,
        "seeds": compared.seeds,
        "shared": compared.shared,
        "sha256": compared.hashes,
        "versions": compared.versions,
        "arms": [_arm(row) for row in table.rows],
        "differences": [_difference(row) for row in table.differences],
        "elsewhere": [_elsewhere(other) for other in table.others],
        "tests_corrected_together": table.tests,
        "notes": notes_of(table),
    }
    return json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n"


def rich_table(table: ComparisonTable) -> Table:
    """The primary metrics for a terminal: rate, difference, corrected p. Clear differences are green or red."""
    shown = Table(header_style="bold", show_edge=False, pad_edge=False)
    shown.add_column("")
    shown.add_column("seeds", justify="right")
    shown.add_column("tokens (M)", justify="right")
    metrics = [metric for metric in COMPARED if metric.key in PRIMARY]
    for metric in metrics:
        shown.add_column(f"{metric.title} [dim]{metric.arrow}[/]", justify="right")
    found = {(row.arm, row.metric.key): row for row in table.differences}
    for row in table.rows:
        cells = [_rich_cell(row, metric.key, found.get((row.arm.name, metric.key))) for metric in metrics]
        spent = f"{sum(row.tokens.values()) / 1e6:.2f}" if row.arm.recipe is not None else ""
        shown.add_row(row.arm.name, str(len(row.runs)), spent, *cells)
    return shown


def signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"


def interval_text(interval: Interval) -> str:
    return "-" if math.isnan(interval.low) else f"[{interval.low:+.3f}, {interval.high:+.3f}]"


def p_text(p: float | None) -> str:
    """A p-value to two digits.

    >>> p_text(0.0001), p_text(0.034567), p_text(1.0), p_text(None)
    ('0.0001', '0.035', '1', '')
    """
    return "" if p is None else f"{p:.2g}"


def _rich_cell(row: ArmRow, metric: str, difference: DifferenceRow | None) -> str:
    value = row.cells[metric].ratio.value
    rate = "-" if value is None else f"{value:.3f}"
    if difference is None or math.isnan(difference.difference.difference):
        return rate
    colour = ("green" if difference.is_better else "red") if difference.is_clear else "default"
    return f"{rate}\n[{colour}]{signed(difference.difference.difference)}[/] [dim]p {p_text(difference.corrected)}[/]"


def _arm(row: ArmRow) -> dict[str, Any]:
    recipe = row.arm.recipe
    return {
        "name": row.arm.name,
        "method": None if recipe is None else recipe.method,
        "granularity": None if recipe is None else recipe.granularity,
        "signal_filter": None if recipe is None else recipe.fission.signal_filter,
        "baseline": row.arm.baseline,
        "added": row.arm.added,
        "differs": row.differs,
        "runs": [
            {
                "seed": run.seed,
                "folder": run.path.name,
                "updates": len(run.steps),
                "tokens": run.tokens,
                "seconds": run.seconds,
            }
            for run in row.runs
        ],
        "metrics": _metrics(row.cells),
    }


def _metrics(cells: Mapping[str, SummaryRow]) -> dict[str, Any]:
    return {
        key: {
            "value": cell.ratio.value,
            "numerator": cell.ratio.numerator,
            "denominator": cell.ratio.denominator,
            "interval": [cell.interval.low, cell.interval.high],
        }
        for key, cell in cells.items()
    }


def _elsewhere(other: OtherTable) -> dict[str, Any]:
    return {
        "name": other.name,
        "arms": {arm: _metrics(cells) for arm, cells in other.cells.items()},
        "doing_nothing": None if other.doing_nothing is None else other.doing_nothing.value,
        "differences": [_difference(row) for row in other.differences],
    }


def _difference(row: DifferenceRow) -> dict[str, Any]:
    found, flip = row.difference, row.sign_flip
    return {
        "arm": row.arm,
        "baseline": row.baseline,
        "metric": row.metric.key,
        "seeds": row.seeds,
        "difference": found.difference,
        "interval": [found.interval.low, found.interval.high],
        "by_seed": found.by_seed,
        "p_permutation": row.p,
        "p_holm": row.corrected,
        "p_sign_flip": None if flip is None else flip.p,
        "smallest_p_sign_flip": None if flip is None else flip.smallest,
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: int = 1) -> list[str]:
    """Rows as text; the first `align` columns are words, the others figures."""
    line = "|" + "---|" * align + "--:|" * (len(heads) - align)
    return [
        f"| {' | '.join(heads)} |",
        line,
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]
