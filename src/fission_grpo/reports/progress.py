"""Live progress of one run or several side by side: a table that redraws itself on a terminal, plain lines elsewhere."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

NARROW = 120
"""Columns below which the table would be cut."""
WINDOW = 5
"""Updates that a shown value is averaged over: a single update has too few rows to be read."""
COLUMNS = {
    "reward": "reward",
    "outcome_rate": "outcome",
    "error_rate": "errors",
    "recovery_rate": "recovered",
    "pool_size": "pool",
}
"""Metrics shown, and what they are called in the narrow head of the table."""


class ProgressSink(Protocol):
    """Takes one update's metrics: a line of `metrics.jsonl`, as a dict."""

    def __call__(self, metrics: dict[str, Any], /) -> None: ...


@dataclass
class _Run:
    """What is known of one run: its recent updates, newest last."""

    total: int | None
    recent: deque[Mapping[str, Any]] = field(default_factory=lambda: deque[Mapping[str, Any]](maxlen=WINDOW))
    note: str = "starting"

    @property
    def step(self) -> int:
        return int(self.recent[-1]["step"]) if self.recent else 0

    def mean(self, name: str) -> float | None:
        values = [float(metrics[name]) for metrics in self.recent if metrics.get(name) is not None]
        return sum(values) / len(values) if values else None

    def feedback(self) -> str:
        """How many feedbacks of the last `WINDOW` updates came from which source; empty where there were none."""
        sources: Counter[str] = Counter()
        for metrics in self.recent:
            sources.update({name: int(count) for name, count in (metrics.get("feedback") or {}).items()})
        return ", ".join(f"{name} {count}" for name, count in sources.most_common())

    def remaining(self) -> str:
        seconds = self.mean("seconds")
        if seconds is None:
            return self.note
        if self.total is None:
            return "-"
        return duration(seconds * max(0, self.total - self.step))

    def progress(self) -> str:
        return f"{self.step}/{self.total or '?'}"


class LiveDisplay:
    """What redraws itself on a terminal and prints lines elsewhere; used as a context manager.

    Args:
        shown: makes what is drawn, whenever it is.
    """

    def __init__(self, shown: Callable[[], RenderableType], console: Console | None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, get_renderable=shown) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()


class ProgressDisplay(LiveDisplay):
    """Shows runs while they train.

    >>> import io
    >>> console = Console(file=io.StringIO(), width=120)
    >>> with ProgressDisplay({"Fission-GRPO": 2}, console) as display:
    ...     display.sink("Fission-GRPO")({"step": 1, "reward": 0.5, "outcome_rate": 0.25, "seconds": 2.0})
    >>> print(console.file.getvalue().strip())  # no terminal: plain lines
    Fission-GRPO  step 1/2  reward 0.500  outcome 0.250  left 2s
    """

    def __init__(self, runs: Mapping[str, int | None], console: Console | None = None) -> None:
        """Args:
        runs: total updates of every run, by its label; None where that is not known beforehand.
        """
        self._runs = {label: _Run(total) for label, total in runs.items()}
        super().__init__(self._shown, console)  # last: it draws at once

    def update(self, label: str, metrics: Mapping[str, Any]) -> None:
        """Takes one update's metrics of one run."""
        run = self._runs[label]
        run.recent.append(metrics)
        if self._live is None:
            self._console.print(self._line(label, run), soft_wrap=True, highlight=False)

    def note(self, label: str, text: str) -> None:
        """What a run is doing while it has no updates to show."""
        self._runs[label].note = text

    def sink(self, label: str) -> ProgressSink:
        """A function of one update's metrics, as the trainer wants it."""
        return lambda metrics: self.update(label, metrics)

    def _shown(self) -> Table | Text:
        """The table, or lines where it would not fit."""
        if self._console.width >= NARROW:
            return self._table()
        return Text("\n".join(self._line(label, run) for label, run in self._runs.items()))

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        table.add_column("step", justify="right")
        table.add_column("", width=16)
        for title in COLUMNS.values():
            table.add_column(title, justify="right")
        table.add_column("feedback from")
        table.add_column("left", justify="right")
        for label, run in self._runs.items():
            bar = ProgressBar(total=run.total, completed=run.step, width=16)
            values = [_number(name, run.mean(name)) for name in COLUMNS]
            table.add_row(label, run.progress(), bar, *values, run.feedback() or "-", run.remaining())
        return table

    def _line(self, label: str, run: _Run) -> str:
        shown = [f"{title} {_number(name, run.mean(name))}" for name, title in COLUMNS.items() if run.mean(name) is not None]
        feedback = [f"feedback {run.feedback()}"] if run.feedback() else []
        return "  ".join([label, f"step {run.progress()}", *shown, *feedback, f"left {run.remaining()}"])


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(42.3), duration(125), duration(7260)
    ('42s', '2m05s', '2h01m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if name == "pool_size" else f"{value:.3f}"
