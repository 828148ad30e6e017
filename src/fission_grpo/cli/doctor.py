"""`fission doctor`."""

from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

MARKS = {"good": "[green]good[/]", "missing": "[red]missing[/]", "optional": "[yellow]look[/]"}


def doctor(
    install: Annotated[
        Literal["bfcl"] | None, typer.Option(help="Install what pip cannot: `bfcl` is bfcl-eval without its dependencies.")
    ] = None,
) -> None:
    """Show what is installed, what is missing, and what to type next."""
    from fission_grpo.diagnosis import check_all, install_bfcl

    console = Console()
    if install is not None:
        install_bfcl()
    checks = check_all()
    table = Table("", "found", "", "what to do", show_edge=False, pad_edge=False)
    for check in checks:
        table.add_row(check.subject, check.found, MARKS[check.state], check.advice)
    console.print(table)
    missing = [check for check in checks if check.state == "missing"]
    if missing:
        raise typer.Exit(1)
    console.print("All that is needed is here. Next: [bold]fission quickstart[/]")
