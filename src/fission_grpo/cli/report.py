"""`fission report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in the (first) run folder.")] = None,
) -> None:
    """Write report.html for one run, or for several side by side, and print their table.

    Example: fission report runs/bfcl_quick runs/bfcl_quick_grpo --out report.html
    """
    from fission_grpo.reports.data import load_runs
    from fission_grpo.reports.html import run_report, write_report
    from fission_grpo.reports.tables import Comparison, rich_table

    console = Console()
    content = run_report(load_runs(runs))
    path = out or runs[0] / "report.html"
    write_report(content, path)
    if content.evaluations:
        console.print(rich_table(Comparison(content.evaluations)))
    console.print(f"Report: {path}", highlight=False)
