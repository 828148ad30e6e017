"""`fission view`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def view(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8190,
) -> None:
    """Show a run in the browser while it goes on: its report, live and read-only, for this machine alone.

    Example: fission view runs/bfcl_quick
    """
    from fission_grpo.errors import UserError
    from fission_grpo.reports.live import LivePage, LiveServer

    if not (run / "recipe.yaml").is_file():
        raise UserError(f"run {run}: no run folder, it has no recipe.yaml; `fission train RECIPE --run {run}` makes one")
    console = Console()
    try:
        with LiveServer(LivePage(run), port) as server:
            console.print(f"{run}: {server.url}  (Ctrl-C ends it)", highlight=False, soft_wrap=True)
            server.serve_forever()
    except KeyboardInterrupt:
        console.print("\nstopped")
