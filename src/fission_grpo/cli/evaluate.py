"""`fission eval`: benchmarks and tasks of one's own, with recovery metrics."""

import typer

from fission_grpo.cli.evaluate_bfcl import bfcl
from fission_grpo.cli.evaluate_tasks import tasks
from fission_grpo.cli.evaluate_tau import tau, tau2

app = typer.Typer(help="Play benchmarks or tasks, and say how a model recovers from its errors.", no_args_is_help=True)
for command in (bfcl, tau2, tau, tasks):
    app.command()(command)
