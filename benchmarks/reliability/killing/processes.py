"""Processes of `fission train` and `fission resume`, started warm and killed.

One run is made by a plain process as well, with another seed of Python's hashes: it must be the same.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from killing.points import Point, launch
from warm import ENVIRONMENT, start_warm

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
    process = start_warm(launch, arguments, run, point)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode
