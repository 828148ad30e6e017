"""A faulty run from its first process to its last: started again each time that it was stopped."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from injecting.launcher import launch
from injecting.plan import Plan
from warm import start_warm

STOPPED = 2
"""Exit status of a command that ends with one sentence."""
_LOOK_EVERY = 1.0
_LONGEST = 3600.0
"""Seconds that one process may take."""


@dataclass(frozen=True)
class End:
    """How a process ended: its exit status, negative for a signal, and the line that it said last."""

    status: int | None
    said: str

    @property
    def wanted(self) -> bool:
        """Done, killed, or stopped with a sentence; what it may have been stopped for, the account knows."""
        return self.status in (0, STOPPED, -signal.SIGKILL)


def drive(plan: Plan, look: Callable[[], None] = lambda: None) -> list[End]:
    """Starts process after process until one is done, or ends as none should; logs are beside the run folder.

    Args:
        look: called every second.
    """
    ends: list[End] = []
    while len(ends) <= plan.stops and (not ends or (ends[-1].wanted and ends[-1].status != 0)):
        log = Path(f"{plan.run}.{len(ends) + 1}.log")
        ends.append(_end_of(plan, log, look))
    return ends


def _end_of(plan: Plan, log: Path, look: Callable[[], None]) -> End:
    process = start_warm(launch, plan, log)
    waited = 0.0
    while process.exitcode is None and waited < _LONGEST:
        process.join(_LOOK_EVERY)
        waited += _LOOK_EVERY
        look()
    status = process.exitcode
    process.kill()
    process.join()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return End(status, lines[-1] if lines else "")
