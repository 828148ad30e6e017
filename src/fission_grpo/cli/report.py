"""`fission report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or the folder of one comparison.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in the (first) run folder.")] = None,
) -> None:
    """Write report.html for one run, for several side by side, or for a comparison, and print their table.

    Example: fission report runs/bfcl_quick runs/bfcl_quick_grpo --out report.html
    """
    from fission_grpo.reports.comparison_folder import PLAN_FILE
    from fission_grpo.reports.comparison_report import comparison_report
    from fission_grpo.reports.data import load_runs
    from fission_grpo.reports.html import run_report, write_report
    from fission_grpo.reports.tables import Comparison, rich_table

    console = Console()
    path = out or runs[0]
    path = path / "report.html" if path.is_dir() else path
    if len(runs) == 1 and (runs[0] / PLAN_FILE).is_file():
        content, section = comparison_report(runs[0])
        write_report(content, path, [section])
    else:
        content = run_report(load_runs(runs))
        write_report(content, path)
        if content.evaluations:
            console.print(rich_table(Comparison(content.evaluations)))
    console.print(f"Report: {path}", highlight=False)
