"""The tables of TAU2-Bench and TAU-Bench, for a terminal and as one HTML file: no score without what doing nothing has."""

from math import isnan
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from fission_grpo.disk import write_whole
from fission_grpo.evaluation.statistics import SummaryRow
from fission_grpo.evaluation.tau.benchmarks import BENCHMARKS
from fission_grpo.evaluation.tau.summary import RECOVERY, TauSummary
from fission_grpo.reports.benchmark_tables import counts, percent, percent_interval, rate_interval
from fission_grpo.reports.definitions import METRICS, MetricDefinition
from fission_grpo.reports.grids import Cell, Grid
from fission_grpo.reports.pages import render_page

SHOWN = (
    *(metric for metric in METRICS if metric.key in RECOVERY),
    MetricDefinition("format_error_rate", "unreadable", better="lower"),
)
"""The recovery metrics of a report."""
_FEW_TASKS = 20
"""Below so many, a bootstrap over tasks says little; of one it says nothing."""


def title_of(summary: TauSummary) -> str:
    """What was played."""
    settings = summary.settings
    return f"{BENCHMARKS[settings['benchmark']].title}, {settings['domain']}{', solo' if settings['solo'] else ''}"


def score_grid(summary: TauSummary) -> Grid:
    """pass^1 to pass^k in percent, the same for doing nothing, and what pass^1 is above it."""
    passes = [Cell(_percent(row.value), f"{row.tasks} tasks", percent_interval(row.interval)) for row in summary.passes]
    nothing = Cell(percent(summary.doing_nothing), counts(summary.doing_nothing))
    above, interval = summary.above
    heads = [*(f"pass^{row.k}" for row in summary.passes), "doing nothing", "pass^1 above it"]
    return Grid("model", heads, [(summary.model, [*passes, nothing, Cell(_signed(above), "", percent_interval(interval))])])


def recovery_grid(summary: TauSummary) -> Grid:
    """What follows on errors."""
    cells = [
        Cell("-" if row.ratio.value is None else f"{row.ratio.value:.3f}", counts(row.ratio), rate_interval(row.interval))
        for row in _shown_rows(summary)
    ]
    return Grid("model", [f"{metric.title} {metric.arrow}" for metric in SHOWN], [(summary.model, cells)])


def score_table(summary: TauSummary) -> Table:
    return _table(score_grid(summary))


def recovery_table(summary: TauSummary) -> Table:
    return _table(recovery_grid(summary))


def notes_of(summary: TauSummary) -> list[str]:
    """What a reader must know before believing the figures."""
    settings = summary.settings
    tasks = {record.task_id for record in summary.records}
    package = " ".join(str(settings[key]) for key in ("mode", "distribution", "version") if key in settings)
    notes = [
        f"{title_of(summary)}: {package}; split {settings['split']}, tasks played: {len(tasks)}; "
        f"temperature {settings['temperature']:g}. {_about_user(summary)}",
        "Doing nothing: an agent that calls nothing and says that it cannot help, played on the same tasks. "
        "Intervals: 95%, by bootstrap over tasks.",
    ]
    if "reward_basis" in settings:
        basis = ", ".join(f"{basis} ({count})" for basis, count in settings["reward_basis"].items())
        notes.append(f"Scored by {basis}; task file {settings['task_file']}, sha256 {settings['task_file_sha256'][:12]}.")
    if len(tasks) < _FEW_TASKS:
        notes.append(f"Tasks played: {len(tasks)}; intervals over so few are rough.")
    if summary.trials > 1 and settings["temperature"] == 0:
        notes.append("At temperature 0 trials differ only by what the engine and the user leave to chance.")
    if summary.context_exceeded:
        context = settings["max_context_tokens"]
        allowed = "the endpoint's context" if context is None else f"{context:,} tokens (--max-context-tokens allows more)"
        notes.append(
            f"{summary.context_exceeded} of {len(summary.records)} conversations outgrew {allowed}, and count as unsolved."
        )
    if summary.missing:
        notes.append(f"Conversations missing after infrastructure errors: {summary.missing}; they count nowhere.")
    return notes


def write_tau_report(summary: TauSummary, path: Path) -> None:
    """Writes the report as one self-contained HTML file."""
    page = render_page(
        "tau.html",
        heading=title_of(summary),
        scores=score_grid(summary),
        recovery=recovery_grid(summary),
        metrics=SHOWN,
        notes=notes_of(summary),
    )
    write_whole(path, page)


def _about_user(summary: TauSummary) -> str:
    user = summary.settings["user"]
    if summary.settings["solo"]:
        return "No user: solo mode is not the benchmark's own, and its scores stand for themselves."
    if user == "scripted":
        return "The user is scripted: this is not a score of the benchmark, whose user is a language model."
    return f"The user is {user}."


def _shown_rows(summary: TauSummary) -> list[SummaryRow]:
    by_metric = {row.metric: row for row in summary.recovery}
    return [by_metric[metric.key] for metric in SHOWN]


def _percent(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:.2f}"


def _signed(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:+.2f}"


def _table(grid: Grid) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    table.add_column(grid.corner)
    for head in grid.heads:
        table.add_column(Text(head), justify="right")
    for name, cells in grid.rows:
        table.add_row(Text(name), *map(_text, cells))
    return table


def _text(cell: Cell | None) -> Text:
    assert cell is not None
    details = "\n".join(part for part in (cell.counts, cell.interval) if part)
    return Text.assemble((cell.text, "bold"), (f"\n{details}" if details else "", "dim"))
