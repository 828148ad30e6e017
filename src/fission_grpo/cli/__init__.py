"""The command `fission`: one file a command group, no logic of its own, and nothing heavy imported before a command runs.

Exit status: 0 done, 1 something is missing (`doctor`) or a run failed (`compare`), 2 a mistake of the user, 3 entries of a
benchmark are missing because the infrastructure failed, 130 stopped by Ctrl-C.
"""

import sys
import time

import typer
from rich.console import Console

from fission_grpo.cli.compare import compare
from fission_grpo.cli.doctor import doctor
from fission_grpo.cli.evaluate import app as evaluate
from fission_grpo.cli.quickstart import quickstart
from fission_grpo.cli.report import report
from fission_grpo.cli.simulator import app as simulator
from fission_grpo.cli.tasks import app as tasks
from fission_grpo.cli.terminal import quoted
from fission_grpo.cli.train import resume, train
from fission_grpo.cli.view import view
from fission_grpo.disk import disk_fault
from fission_grpo.errors import UserError
from fission_grpo.launcher import is_main_process, launched_processes

ON_SEVERAL_PROCESSES = ("train", "resume")
"""Commands that a launcher may start."""
_GRACE = 10.0
"""Seconds in which the main process tells a mistake that all processes meet, and the launcher ends the others."""

app = typer.Typer(
    name="fission",
    help="Teach tool-using language models to recover from failed calls: Fission-GRPO.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (quickstart, train, resume, compare, report, view, doctor):
    app.command()(command)
app.add_typer(evaluate, name="eval")
app.add_typer(tasks, name="tasks")
app.add_typer(simulator, name="simulator")


@app.callback()
def check_launch(context: typer.Context) -> None:
    """Refuses what would only be done several times."""
    processes, command = launched_processes(), context.invoked_subcommand
    if processes > 1 and command not in ON_SEVERAL_PROCESSES:
        raise UserError(
            f"fission {command}: started by a launcher on {processes} processes, 1 is allowed; "
            f"{' and '.join(ON_SEVERAL_PROCESSES)} run on several"
        )


def main() -> None:
    """Runs the command line. A mistake of the user is one sentence; anything else keeps its traceback."""
    try:
        app()
    except UserError as error:
        fail(str(error))
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        fail(f"{error.filename}: {error.strerror}; give another path")
    except Exception as error:
        fault = disk_fault(error)
        if fault is None:
            raise
        where = getattr(error, "filename", None) or "while writing"
        fail(f"{fault} ({where}): mend that; the same command, or `fission resume RUN`, then goes on")


def fail(sentence: str) -> None:
    """Says what is wrong on standard error, and exits with status 2."""
    if not is_main_process():
        time.sleep(_GRACE)
    Console(stderr=True).print(f"[bold red]Error:[/] [red]{quoted(sentence)}[/]", soft_wrap=True, highlight=False)
    sys.exit(2)
