"""Live progress of a queue of runs: those under way in a table that redraws itself, and the queue; plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fission_grpo.reports.progress import COLUMNS, NARROW, WINDOW, LiveDisplay, duration

PHASES = {
    "check": "checking the arms",
    "tasks": "making the tasks",
    "probe set": "making the probe set",
    "train": "training",
    "test": "playing the test tasks",
    "also": "playing other benchmarks",
    "probe": "continuing the probe set",
}
_WEIGHTS = {"train": 6.0, "test": 3.0, "also": 1.0, "probe": 1.0}
"""Rough shares of a run's time, for the estimate of what is left."""
_OTHER_LINES = 4
"""Lines of the display that are no run: head, queue, and room for the prompt."""
_LINE_EVERY = 0.25
"""Without a terminal a phase gets a line whenever so much more of it is done."""


@dataclass(frozen=True)
class Phase:
    """A run begins something: a key of `PHASES`."""

    name: str


@dataclass(frozen=True)
class Share:
    """How much of the phase is done, from 0 to 1."""

    done: float


@dataclass(frozen=True)
class Update:
    """One update of the policy: a line of `metrics.jsonl`, and how much of the budget is spent."""

    metrics: Mapping[str, Any]
    done: float


@dataclass
class _Run:
    """A run under way."""

    phases: Sequence[str]
    phase: str = ""
    done: float = 0.0
    shown: float = 0.0
    recent: deque[Mapping[str, Any]] = field(default_factory=lambda: deque[Mapping[str, Any]](maxlen=WINDOW))

    @property
    def weight(self) -> float:
        return sum(_WEIGHTS.get(phase, 0.0) for phase in self.phases)

    @property
    def weight_done(self) -> float:
        if self.phase not in self.phases:
            return 0.0
        place = list(self.phases).index(self.phase)
        before = sum(_WEIGHTS.get(phase, 0.0) for phase in self.phases[:place])
        return before + self.done * _WEIGHTS.get(self.phase, 0.0)

    def means(self) -> dict[str, float]:
        """The shown metrics, averaged over the last updates."""
        means: dict[str, float] = {}
        for name in COLUMNS:
            values = [float(metrics[name]) for metrics in self.recent if metrics.get(name) is not None]
            if values:
                means[name] = sum(values) / len(values)
        return means


class QueueDisplay(LiveDisplay):
    """Shows the runs of a queue; a context manager, and the observer of `workers.run_jobs`.

    >>> import io
    >>> console = Console(file=io.StringIO(), width=120)
    >>> with QueueDisplay({"grpo-0": ["train", "test"], "fission-0": ["test"]}, 1, console, lambda: 10.0) as display:
    ...     display.started("grpo-0")
    ...     display.told("grpo-0", Phase("train"))
    ...     display.told("grpo-0", Update({"step": 7, "reward": 0.5}, 0.25))
    ...     display.ended("grpo-0", None)
    >>> print(console.file.getvalue().strip())  # no terminal: plain lines
    grpo-0: training
    grpo-0: training, 25%, update 7, reward 0.500
    grpo-0: done (2 of 3 runs)
    """

    def __init__(
        self,
        runs: Mapping[str, Sequence[str]],
        finished: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        runs: what is left to do, by run: keys of `PHASES`.
        finished: runs that were done before.
        """
        self._runs = {name: _Run(phases) for name, phases in runs.items()}
        self._finished, self._total = finished, finished + len(runs)
        self._failed = 0
        self._under_way: list[str] = []
        self._clock, self._began = clock, clock()
        self._weight = sum(run.weight for run in self._runs.values())
        self._weight_ended = 0.0
        super().__init__(self._shown, console)  # last: it draws at once

    def started(self, name: str) -> None:
        self._under_way.append(name)

    def told(self, name: str, event: Any) -> None:
        """Takes a `Phase`, `Share` or `Update` of a run."""
        run = self._runs[name]
        if isinstance(event, Phase):
            run.phase, run.done, run.shown = event.name, 0.0, 0.0
            self._say(f"{name}: {PHASES[run.phase]}")
            return
        if isinstance(event, Update):
            run.recent.append(event.metrics)
        run.done = event.done
        if run.done - run.shown >= _LINE_EVERY:
            run.shown = run.done
            self._say(self._line(name))

    def ended(self, name: str, failure: object | None) -> None:
        """A run is over; `failure` says that it did not end well."""
        self._under_way.remove(name)
        self._weight_ended += self._runs[name].weight
        self._finished += failure is None
        self._failed += failure is not None
        self._say(f"{name}: {'failed' if failure else 'done'} ({self._finished} of {self._total} runs)")

    def seconds_left(self) -> float | None:
        """For the whole queue, at the pace so far; None before there is one."""
        done = self._weight_ended + sum(self._runs[name].weight_done for name in self._under_way)
        elapsed = self._clock() - self._began
        return elapsed * (self._weight - done) / done if done > 0 and elapsed > 0 else None

    def _say(self, line: str) -> None:
        if self._live is None:
            self._console.print(line, soft_wrap=True, highlight=False)

    def _line(self, name: str) -> str:
        run = self._runs[name]
        step = [f"update {run.recent[-1]['step']}"] if run.recent and run.phase == "train" else []
        values = [f"{COLUMNS[key]} {_number(key, value)}" for key, value in run.means().items()] if step else []
        return ", ".join([f"{name}: {PHASES.get(run.phase, 'starting')}", f"{run.done:.0%}", *step, *values])

    def _queue(self) -> Text:
        left = self.seconds_left()
        waiting = self._total - self._finished - self._failed - len(self._under_way)
        failed = f", {self._failed} failed" if self._failed else ""
        time_left = "" if left is None else f"; about {duration(left)} left"
        return Text(f"{self._finished} of {self._total} runs done{failed}, {waiting} waiting{time_left}")

    def _shown(self) -> Group:
        """The runs under way as far as they fit, and the queue."""
        room = max(1, self._console.height - _OTHER_LINES)
        names = self._under_way[:room]
        more = len(self._under_way) - len(names)
        queue = self._queue().append(f"; {more} under way not shown" if more else "")
        if self._console.width >= NARROW:
            return Group(self._table(names), queue)
        return Group(*(Text(self._line(name), no_wrap=True, overflow="ellipsis") for name in names), queue)

    def _table(self, names: Sequence[str]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        table.add_column("")
        table.add_column("", width=16)
        for title in ("update", *COLUMNS.values()):
            table.add_column(title, justify="right")
        for name in names:
            run = self._runs[name]
            means = run.means()
            bar = ProgressBar(total=1.0, completed=run.done, width=16)
            step = str(run.recent[-1]["step"]) if run.recent else "-"
            values = [_number(key, means[key]) if key in means else "-" for key in COLUMNS]
            table.add_row(name, PHASES.get(run.phase, "starting"), bar, step, *values)
        return table


def _number(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "pool_size" else f"{value:.3f}"
