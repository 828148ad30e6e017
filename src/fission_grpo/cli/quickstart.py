"""`fission quickstart`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fission_grpo.cli.terminal import free_folder, interruptible
from fission_grpo.cli.train import RUNS


def quickstart(
    fast: Annotated[bool, typer.Option("--fast", help="One minute: shows that it works, not that it learns.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; an unfinished quickstart in it is continued.")] = None,
) -> None:
    """The whole loop on the small bundled policy, on a CPU, in minutes, with a report."""
    from fission_grpo.quickstart import ARMS, FAST, FULL, run_quickstart
    from fission_grpo.recipe.methods import METHODS
    from fission_grpo.reports.progress import ProgressDisplay
    from fission_grpo.reports.tables import Comparison, rich_table

    console = Console()
    size = FAST if fast else FULL
    folder = out or free_folder(RUNS / "quickstart")
    advice = f"`fission quickstart{' --fast' if fast else ''} --out {folder}` or `fission resume {folder}/fission` continues"
    with interruptible(console, advice):
        display = ProgressDisplay({METHODS[method].title: size.updates for method in ARMS}, console)
        report = run_quickstart(folder, size, lambda text: console.print(text, highlight=False), display)
    console.print()
    console.print(rich_table(Comparison(report.evaluations)))
    for note in report.notes:
        console.print(f"[dim]{note}[/]", highlight=False)
    console.print(f"\nReport: {folder / 'report.html'}", highlight=False)
