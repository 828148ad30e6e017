"""The report of a comparison: its tables on top, then what a report shows of runs, trajectories included."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.reports.alignment import Alignment
from fission_grpo.reports.comparison_folder import ArmRuns, load_comparison
from fission_grpo.reports.comparison_page import comparison_section
from fission_grpo.reports.comparison_tables import ComparisonTable, comparison_table
from fission_grpo.reports.comparison_text import markdown, to_json
from fission_grpo.reports.data import START_TITLE, Evaluation, Run, load_runs
from fission_grpo.reports.html import Report, write_report
from fission_grpo.reports.pages import render_section


def write_comparison(out: Path) -> ComparisonTable | None:
    """Writes `comparison.md`, `comparison.json` and `report.html` of what is finished in a comparison's folder.

    Returns:
        its table; None where no run is finished.
    """
    table = comparison_table(load_comparison(out))
    if not any(row.arm.recipe is not None for row in table.rows):
        return None
    for name, text in (("md", markdown(table)), ("json", to_json(table))):
        write_whole(out / f"comparison.{name}", text)
    report, section = comparison_report(out)
    write_report(report, out / "report.html", [section])
    return table


def comparison_report(out: Path) -> tuple[Report, Markup]:
    """The report of the finished runs of a comparison, and the section that stands on top of it.

    Raises:
        UserError: it is no comparison, nothing of it is finished, or a file in it is broken.
    """
    table = comparison_table(load_comparison(out))
    arms = [row.arm for row in table.rows if row.arm.recipe is not None]
    if not arms:
        raise UserError(f"comparison {out}: no run of it is finished; `{table.compared.command}` goes on with it")
    start = table.compared.start
    evaluations = [_pooled(arm, arm.name) for arm in arms]
    report = Report(
        title="Comparison at equal budget",
        evaluations=[*([_pooled(start, START_TITLE)] if start.runs else []), *evaluations],
        runs=list(chain.from_iterable(map(_runs, arms))),
    )
    return report, render_section("comparison.html", compared=comparison_section(table))


def _pooled(arm: ArmRuns, label: str) -> Evaluation:
    """The episodes of all its seeds."""
    return Evaluation(label, [record for run in arm.runs.values() for record in run.evaluation])


def _runs(arm: ArmRuns) -> Iterable[Run]:
    for seed, found in arm.runs.items():
        # Whether a simulator fits is told by the reports of single runs: a comparison may have dozens.
        yield replace(load_runs([found.path])[0], label=f"{arm.name}, seed {seed}", alignment=Alignment())
