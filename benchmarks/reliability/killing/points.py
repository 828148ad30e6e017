"""Points at which a process kills itself, and its start there. The product knows nothing of it: functions are wrapped from
outside, in the process that is to die.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from pathlib import Path
from typing import Any

SEALS = "seals"
"""File beside a run folder: the steps of the checkpoints that were sealed, one a line."""


class Moment(StrEnum):
    """When a call is interrupted."""

    BEFORE = "before"
    """Nothing of it was done."""
    AFTER = "after"
    """It was done, and nothing behind it."""
    TORN = "torn"
    """A file has half of what the call adds to it: a write that the kill cut short."""


@dataclass(frozen=True)
class Point:
    """A call in which a process is killed by SIGKILL.

    Attributes:
        function: `module:qualified.name`, where it is looked up when it is called.
        entry: which of the calls that count, from 1.
        naming: only calls count in which an argument's text ends so, if it is a path or a string.
        file: for `TORN`: the file, as a path below the run folder.
    """

    function: str
    moment: Moment = Moment.BEFORE
    entry: int = 1
    naming: str = ""
    file: str = ""

    def set(self, run: Path) -> None:
        """Arms it in this process."""
        owner, name = _owner(self.function)
        original = getattr(owner, name)
        calls = 0

        def watched(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += self._counts([*arguments, *named.values()])
            if calls != self.entry:
                return original(*arguments, **named)
            if self.moment is Moment.BEFORE:
                _die()
            size = _size(run / self.file)
            result = original(*arguments, **named)
            if self.moment is Moment.TORN:
                os.truncate(run / self.file, (size + _size(run / self.file)) // 2)
            _die()
            return result

        setattr(owner, name, watched)

    def _counts(self, arguments: list[Any]) -> bool:
        texts = [str(each) for each in arguments if isinstance(each, str | Path)]
        return not self.naming or any(text.endswith(self.naming) for text in texts)


def launch(arguments: list[str], run: Path, point: Point | None) -> None:
    """The main function of a forked process: the command line with these arguments.

    torch was imported before the fork, by a process that had set the threads: the command cannot set them again.
    """
    with Path(f"{run}.log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    import fission_grpo.cli
    import fission_grpo.rollout.cpu

    fission_grpo.rollout.cpu.configure_cpu = lambda threads=None: 1
    _note_seals(Path(f"{run}.{SEALS}"))
    if point is not None:
        point.set(run)
    sys.argv = ["fission", *arguments]
    fission_grpo.cli.main()


def _note_seals(file: Path) -> None:
    from fission_grpo.training import checkpoint

    original: Callable[[Path], None] = checkpoint.seal

    def noted(folder: Path) -> None:
        original(folder)
        with file.open("a", encoding="utf-8") as seals:
            seals.write(f"{checkpoint.step_of(folder)}\n")

    checkpoint.seal = noted


def _owner(function: str) -> tuple[Any, str]:
    module, names = function.split(":")
    *path, name = names.split(".")
    return reduce(getattr, path, importlib.import_module(module)), name


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
