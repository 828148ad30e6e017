"""Processes of `fission train` and `fission resume`, started warm and killed.

Importing torch and TRL costs ten seconds of CPU. A fork server of the standard library imports them once; each run is a
fork of it. That is sound with one OpenMP thread: then the server has no thread but jemalloc's own, which a fork survives.
One run is made by a plain process as well, with another seed of Python's hashes: it must be the same.
"""

import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from killing.points import Point, launch

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
_IMPORTED = ["fission_grpo.training.runs", "fission_grpo.cli", "fission_grpo.environments.bfcl", "openai"]
_LONGEST = 900.0
"""Seconds that a run may take."""


class RunFailed(Exception):
    """A process ended in another way than it should have."""


def run_plainly(arguments: list[str], run: Path) -> None:
    """The command in a process of its own, from beginning to end."""
    with Path(f"{run}.log").open("a", encoding="utf-8") as log:
        command = [sys.executable, "-m", "fission_grpo", *arguments]
        status = subprocess.run(
            command, env=os.environ | ENVIRONMENT, stdout=log, stderr=log, check=False, timeout=_LONGEST
        ).returncode
    if status != 0:
        raise RunFailed(f"{run}: ended with status {status}; see {run}.log")


def run_until_killed(arguments: list[str], run: Path, killed: Point | float) -> bool:
    """The command, killed at a point or after so many seconds; whether it died of it, which it must at a point."""
    point, seconds = (killed, _LONGEST) if isinstance(killed, Point) else (None, killed)
    status = _status(arguments, run, point, seconds)
    if status not in (0, -signal.SIGKILL) or (status == 0 and point is not None):
        raise RunFailed(f"{run}: ended with status {status} instead of a kill at {killed}; see {run}.log")
    return status != 0


def run_warm(arguments: list[str], run: Path) -> None:
    """The command as a fork of the server, from beginning to end."""
    status = _status(arguments, run, None, _LONGEST)
    if status != 0:
        raise RunFailed(f"{run}: ended with status {status}; see {run}.log")


def _status(arguments: list[str], run: Path, point: Point | None, seconds: float) -> int | None:
    process = _context().Process(target=launch, args=(arguments, run, point))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def _context() -> ForkServerContext:
    os.environ |= ENVIRONMENT  # read by the server when it imports torch
    context = get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context
