"""The process in which inputs are played: with a limit of memory, a clock and canaries; its parent kills it if it hangs.

What a call costs is measured as time of this process on a CPU, since the machine may be busy with other things.
"""

import gc
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .canaries import Canaries
from .journeys import JOURNEYS
from .targets import SURFACES, Target

SECONDS = 1.0
"""A call that takes longer hangs."""
MEGABYTES = 512
"""A call that takes more memory than this, on top of what the process had, is over the cap."""
PATIENCE = 30
"""Seconds without a new input after which the parent ends the process."""
WARMING_UP = 300
"""Seconds that it may take to load everything."""
WARMING_INPUTS = 50
"""Inputs of a target that are played before anything is watched; of those that go the whole road, a fifth of them."""
WARM_MEGABYTES = 1_024
"""What caches may come to hold over a run, on top of what is loaded."""


FAULTS = ("crash", "hang", "memory", "escape")


@dataclass
class Tally:
    """What became of the inputs of one target.

    Attributes:
        kinds: inputs by kind of mutation.
        faults: what went wrong, each with the number of its input.
        slowest: seconds and number of the slowest input.
        largest: megabytes by which the process grew in one call, and the number of that input.
    """

    inputs: int = 0
    accepted: int = 0
    masked: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter[str])
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: {fault: [] for fault in FAULTS})
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[float, int] = (0.0, -1)

    def add(self, other: "Tally") -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.masked += other.masked
        self.seconds += other.seconds
        self.kinds.update(other.kinds)
        for name, found in other.faults.items():
            self.faults[name] += found
        self.slowest, self.largest = max(self.slowest, other.slowest), max(self.largest, other.largest)


@dataclass(frozen=True)
class Batch:
    """Inputs of one target: those with the numbers from `first` on."""

    target: str
    first: int
    count: int
    seed: int


def generator(seed: int, target: str, number: int) -> random.Random:
    """What input `number` of a target is drawn from."""
    return random.Random(f"{seed}/{target}/{number}")


class Player:
    """Plays inputs in this process.

    Args:
        scratch: the working directory, in which nothing may appear.
        place: is told the number of each input before it is played.
    """

    def __init__(self, scratch: Path, place: Any = None) -> None:
        self.targets = {**SURFACES, **JOURNEYS}
        self.scratch = scratch
        self._place = place
        self._warm_up()
        self._canaries = Canaries(scratch)

    def _warm_up(self) -> None:
        """Imports and loads what is loaded when it is first needed."""
        for name, target in self.targets.items():
            for number in range(WARMING_INPUTS if name in SURFACES else WARMING_INPUTS // 5):
                try:
                    target(generator(-1, name, number))
                except Exception:  # what is wrong shows in the run
                    continue

    def play(self, batch: Batch, *, with_changes: bool = True) -> Tally:
        """Plays a batch; `with_changes` looks at all checkers behind it, which takes a while."""
        tally, target = Tally(), self.targets[batch.target]
        for number in range(batch.first, batch.first + batch.count):
            if self._place is not None:
                self._place.value = number
            self._play(target, batch, number, tally)
        if with_changes:
            tally.faults["escape"] += [(batch.first, each) for each in self._canaries.changes()]
        return tally

    def _play(self, target: Target, batch: Batch, number: int, tally: Tally) -> None:
        rng = generator(batch.seed, batch.target, number)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._canaries.start()
        started = time.process_time()
        try:
            outcome = target(rng)
            tally.accepted += outcome.accepted
            tally.masked += outcome.masked
            tally.kinds[outcome.kind] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            kind = "memory" if isinstance(error, MemoryError) else "crash"
            tally.faults[kind].append((number, f"{type(error).__name__}: {error}"[:300]))
        seconds = time.process_time() - started
        tally.faults["escape"] += [(number, each) for each in self._canaries.stop()]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
        tally.inputs += 1
        tally.seconds += seconds
        if seconds > SECONDS:
            tally.faults["hang"].append((number, f"{seconds:.2f} s"))
        if grown > MEGABYTES:
            tally.faults["memory"].append((number, f"{grown:.0f} MB"))
        tally.slowest, tally.largest = max(tally.slowest, (seconds, number)), max(tally.largest, (grown, number))


def run_batches(batches: Sequence[Batch]) -> Iterator[tuple[Batch, Tally]]:
    """Plays batches in a process of their own, and yields each as it is done.

    Where the process hangs or dies, the input at fault is recorded, and a new process goes on behind it.
    """
    waiting = deque(batches)
    context = multiprocessing.get_context("spawn")
    while waiting:
        place = context.Value("q", -1)
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(list(waiting), place, theirs), daemon=True)
        process.start()
        theirs.close()
        while waiting and (tally := _answer(ours, place)) is not None:
            yield waiting.popleft(), tally
        process.kill()
        process.join()
        if waiting:
            yield _lost(waiting, place.value)


def _serve(batches: Sequence[Batch], place: Any, answers: Connection) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-scratch-") as scratch:
        os.chdir(scratch)
        _play_all(Player(Path(scratch), place), batches, answers)


def _play_all(player: Player, batches: Sequence[Batch], answers: Connection) -> None:
    gc.freeze()
    soft = _address_space() + (WARM_MEGABYTES + MEGABYTES) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    for batch in batches:
        answers.send(player.play(batch))


def _answer(answers: Connection, place: Any) -> Tally | None:
    """The next tally; None where no new input was begun for too long, or the process is gone."""
    seen, since = None, time.monotonic()
    while True:
        try:
            if answers.poll(0.5):
                return answers.recv()
        except (EOFError, ConnectionError):
            return None
        if place.value != seen:
            seen, since = place.value, time.monotonic()
        elif time.monotonic() - since > (PATIENCE if place.value >= 0 else WARMING_UP):
            return None


def _lost(waiting: deque[Batch], number: int) -> tuple[Batch, Tally]:
    """Takes the input that ended the process out of the first batch; the inputs before it are played again."""
    broken = waiting.popleft()
    end = broken.first + broken.count
    for first, last in ((number + 1, end), (broken.first, number)):
        if last > first:
            waiting.appendleft(replace(broken, first=first, count=last - first))
    fault = Tally(inputs=1)
    fault.faults["hang"].append((number, f"ended the process, or took more than {PATIENCE} s"))
    return replace(broken, first=number, count=1), fault


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
