"""What the commands share in front of a terminal: progress bars, Ctrl-C, and folders that are not there yet."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fission_grpo.reports.texts import visible

STOPPED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""


def quoted(text: str) -> str:
    """A text that others wrote, to stand in rich's markup: it neither styles what is around it nor commands the terminal.

    >>> quoted("[red]a\\x1b[2J")
    '\\\\[red]a␛[2J'
    """
    return escape(visible(text))


def progress_bars(console: Console) -> Progress:
    """Bars with their subject, counts, and the time gone and left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def free_folder(wanted: Path) -> Path:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, ... that does not exist."""
    folder, number = wanted, 1
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


@contextmanager
def interruptible(console: Console, advice: str) -> Generator[None]:
    """Turns Ctrl-C into one line of advice and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\nstopped; {advice}", highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED) from None
