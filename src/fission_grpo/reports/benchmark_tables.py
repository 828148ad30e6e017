"""The tables of a benchmark for a terminal: a row a model, whatever the number of models and the width.

A model's name and a path may hold anything: they are shown as they are, and never read as markup.
"""

import re
from collections.abc import Sequence
from math import isnan

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.evaluation.bfcl.records import ACCURACY
from fission_grpo.evaluation.bfcl.summary import RECOVERY, ModelSummary
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.statistics import Interval, SummaryRow
from fission_grpo.reports.definitions import METRICS

SHOWN = tuple(metric for metric in METRICS if metric.key in RECOVERY)
"""The recovery metrics of a report."""
_GAP = 2
"""Columns between two columns: one of padding, one of the box."""
_WIDE = 110
"""Columns of a terminal from which a rate stands beside its counts, not above them."""
_LEAST_NAME = 12
_FEW_SCENARIOS = 20
"""Below so many, a bootstrap over scenarios says little; of one it says nothing."""


def title_of(category: str) -> str:
    """A category as a heading.

    >>> title_of("multi_turn_miss_func")
    'miss func'
    """
    return category.removeprefix("multi_turn_").replace("_", " ")


def ranked(summaries: Sequence[ModelSummary]) -> list[ModelSummary]:
    """The best multi-turn score first, as on the leaderboard."""
    return sorted(summaries, key=lambda summary: -summary.overall[0])


def fold(name: str, width: int) -> list[str]:
    """A long name as lines, broken behind hyphens, underscores, slashes and spaces where it can be.

    >>> fold("meta-llama_Llama-4-Scout-17B", 12)
    ['meta-llama_', 'Llama-4-', 'Scout-17B']
    """
    pieces = re.findall(rf"[^-_/ ]{{1,{width - 1}}}[-_/ ]?|.", name)
    lines: list[str] = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def score_table(summaries: Sequence[ModelSummary], width: int) -> Table:
    """Accuracy by category, in percent.

    Args:
        width: columns of the terminal.
    """
    heads = ["multi-turn", *map(title_of, CATEGORIES)]
    return _table(heads, [(summary.model, _scores(summary)) for summary in summaries], width)


def recovery_table(summaries: Sequence[ModelSummary], width: int) -> Table:
    """Recovery metrics: rate, counts and interval.

    Args:
        width: columns of the terminal.
    """
    heads = [f"{metric.title} {metric.arrow}".replace(" (", "\n(") for metric in SHOWN]
    keys = [metric.key for metric in SHOWN]
    between = " " if width >= _WIDE else "\n"
    rows = [(summary.model, [_rate(row, between) for row in summary.rows(summary.records, keys)]) for summary in summaries]
    return _table(heads, rows, width)


def notes_of(summaries: Sequence[ModelSummary]) -> list[str]:
    """What a reader must know before believing the figures."""
    return [f"{summary.model}: {note}" for summary in summaries for note in _notes(summary)]


def percent(ratio: Ratio) -> str:
    """A share in percent, as the leaderboard writes it.

    >>> percent(Ratio(1, 3)), percent(Ratio())
    ('33.33', '-')
    """
    return "-" if ratio.value is None else f"{100 * ratio.value:.2f}"


def percent_interval(interval: Interval) -> str:
    """An interval of shares, in percent; empty where there is none."""
    return "" if isnan(interval.low) else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def rate_interval(interval: Interval) -> str:
    """An interval of rates, without a space at which a narrow table would break it; empty where there is none."""
    return "" if isnan(interval.low) else f"{interval.low:.3f}–{interval.high:.3f}"


def counts(ratio: Ratio) -> str:
    return f"{ratio.numerator}/{ratio.denominator}"


def _scores(summary: ModelSummary) -> list[Text]:
    mean, interval = summary.overall
    return [_cell(f"{100 * mean:.2f}", "\n" + percent_interval(interval)), *map(_score, _categories(summary))]


def _categories(summary: ModelSummary) -> list[Ratio | None]:
    return [summary.rows(records, [ACCURACY])[0].ratio if records else None for records in summary.categories.values()]


def _score(ratio: Ratio | None) -> Text:
    if ratio is None:
        return Text("not\nplayed", style="red")
    return _cell(percent(ratio), f"\n{counts(ratio)}")


def _rate(row: SummaryRow, between: str) -> Text:
    value = "-" if row.ratio.value is None else f"{row.ratio.value:.3f}"
    return _cell(value, f"{between}{counts(row.ratio)}\n{rate_interval(row.interval)}")


def _cell(value: str, details: str) -> Text:
    return Text.assemble((value, "bold"), (details, "dim"))


def _notes(summary: ModelSummary) -> list[str]:
    notes: list[str] = []
    if summary.absent_categories:
        absent = ", ".join(map(title_of, summary.absent_categories))
        notes.append(f"{absent} not played, and counted as 0 in the multi-turn score, as on the leaderboard.")
    scenarios = len({record.scenario for record in summary.records})
    if 0 < scenarios < _FEW_SCENARIOS:
        notes.append(f"scenarios played: {scenarios}; intervals over so few are rough.")
    if summary.missing:
        notes.append(f"entries missing after infrastructure errors: {summary.missing}; they count nowhere.")
    if summary.context_exceeded:
        of = len(summary.records)
        notes.append(f"{summary.context_exceeded} of {of} entries outgrew the context of the model, and count as wrong.")
    if summary.other_answers.numerator:
        notes.append(
            f"{counts(summary.other_answers)} logged answers to calls are not what this bfcl-eval answers: the results were "
            "probably made with another version, whose scores may differ."
        )
    if summary.faults:
        notes.append(f"entries that could not be judged: {summary.faults}; they count nowhere.")
    return notes


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Text]]], width: int) -> Table:
    """A model a row; names take what the figures leave."""
    columns = [[head, *(cells[place].plain for _, cells in rows)] for place, head in enumerate(heads)]
    widths = [max(cell_len(line) for text in column for line in text.splitlines()) for column in columns]
    room = max(_LEAST_NAME, width - sum(taken + _GAP for taken in widths))
    table = Table(
        box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), leading=1
    )
    table.add_column("model", vertical="top")
    for head, taken in zip(heads, widths, strict=True):
        table.add_column(Text(head), justify="right", min_width=taken, no_wrap=True)
    for name, cells in rows:
        table.add_row(Text("\n".join(fold(name, room))), *cells)
    return table
