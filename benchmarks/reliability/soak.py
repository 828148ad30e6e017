"""Does a long run grow? Memory, open files and threads of `fission train` over hours, read from outside.

    python benchmarks/reliability/soak.py --minutes 120 --out benchmarks/results/reliability_soak.md

Runs of step and episode granularity go side by side, each a process of its own on the bundled policy, with checkpoints
saved and rotated all the while. The first tenth of the time is warm-up. The rest is cut into ten windows; growth is the
median of the last window beside that of the first. A run passes whose memory grew by less than 5% and whose open files and
threads did not grow. At the end Ctrl-C is sent: the run must leave with status 130 and a whole checkpoint.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fission_grpo.training.checkpoint import newest_complete, step_of

RECIPE = Path(__file__).parents[2] / "recipes" / "bfcl_quick.yaml"
ENDLESS = ("trainer.max_steps=1000000", "trainer.save_steps=25", "tasks.train.generate.count=600")
SETTINGS = {
    "step": ("granularity=step",),
    "episode": ("granularity=episode", "trainer.per_device_train_batch_size=16", "rollout.max_new_tokens=64"),
}
"""What the recipe is overridden with, by the name of the run."""
INTERRUPTED = 130
WARM_UP = 0.1
WINDOWS = 10
ALLOWED_GROWTH = 0.05


@dataclass(frozen=True)
class Sample:
    """One look at the process. `memory` is resident memory in bytes."""

    seconds: float
    memory: int
    files: int
    threads: int
    updates: int


@dataclass
class Run:
    """A training process under observation."""

    name: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    samples: list[Sample] = field(default_factory=list[Sample])
    status: int | None = None

    def look(self, seconds: float) -> None:
        """Takes a sample, unless the run has ended, which it should not.

        Raises:
            RuntimeError: it ended before there was anything to look at.
        """
        self.status = self.process.poll()
        if self.status is not None:
            if not self.samples:
                raise RuntimeError(f"{self.name}: the run ended with status {self.status}: {self.folder}.log")
            return
        found = psutil.Process(self.process.pid)
        with found.oneshot():
            memory, files, threads = found.memory_info().rss, found.num_fds(), found.num_threads()
        self.samples.append(Sample(seconds, memory, files, threads, self.updates()))

    def updates(self) -> int:
        """Updates done so far."""
        log = self.folder / "metrics.jsonl"
        if not log.exists():
            return 0
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            whole = [line for line in file.read().split(b"\n")[:-1] if line.startswith(b"{")]
        return int(json.loads(whole[-1])["step"]) if whole else 0

    def interrupt(self) -> None:
        """Ctrl-C, and waits for the end; a run that does not leave has no status."""
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.status = self.process.wait(timeout=300)


@dataclass(frozen=True)
class Growth:
    """A quantity in the first and the last window after the warm-up: medians, and the most it ever was."""

    first: float
    last: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Growth":
        settled = values[round(len(values) * WARM_UP) :]
        window = max(1, len(settled) // WINDOWS)
        return cls(median(settled[:window]), median(settled[-window:]), max(settled))

    @property
    def share(self) -> float:
        """Relative growth."""
        return self.last / self.first - 1


def start(name: str, folder: Path, extra: Sequence[str]) -> Run:
    """Starts a run in the background, deaf to what the terminal sends this process."""
    command = [sys.executable, "-m", "fission_grpo", "train", str(RECIPE), "--run", str(folder)]
    settings = [*ENDLESS, *SETTINGS[name], *extra]
    with Path(f"{folder}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *settings], stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
        )
    return Run(name, folder, process)


def soak(runs: Sequence[Run], minutes: float, every: float) -> None:
    """Looks at the runs until the time is over, then ends them."""
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("starting", total=minutes * 60)
        while (seconds := time.monotonic() - began) < minutes * 60:
            for run in runs:
                run.look(seconds)
            now = ", ".join(f"{run.name} {run.samples[-1].updates} updates" for run in runs)
            progress.update(bar, completed=seconds, description=now)
            time.sleep(every)
    for run in runs:
        run.interrupt()


def report(runs: Sequence[Run], command: str, minutes: float) -> str:
    """The table, with a verdict for every run."""
    lines = [
        "# Soak",
        "",
        f"`{command}`",
        "",
        f"{minutes:g} minutes, runs side by side; torch {version('torch')}, TRL {version('trl')}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {platform.system()}. First and last window: medians.",
        "",
        "| run | updates | memory, first to last window | growth | most | open files | threads | slower by | after Ctrl-C |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    return "\n".join([*lines, *map(_row, runs), "", *map(_curve, runs)]) + "\n"


def _row(run: Run) -> str:
    memory = Growth.of([each.memory for each in run.samples])
    files = Growth.of([each.files for each in run.samples])
    threads = Growth.of([each.threads for each in run.samples])
    newest = newest_complete(run.folder)
    whole = f"checkpoint {step_of(newest)} whole" if newest else "no checkpoint"
    cells = [
        run.name,
        f"{run.samples[-1].updates:,}",
        f"{memory.first / 1e6:.1f} to {memory.last / 1e6:.1f} MB",
        f"{memory.share:+.1%}",
        f"{memory.most / 1e6:.1f} MB",
        f"{files.first:g} to {files.last:g}",
        f"{threads.first:g} to {threads.last:g}",
        f"{_slowdown(run.samples):+.1%}",
        f"status {run.status}, {whole}",
    ]
    return f"| {' | '.join(cells)} |"


def _slowdown(samples: Sequence[Sample]) -> float:
    """Updates a second in the first half after the warm-up, over those in the second half, less one."""
    settled = samples[round(len(samples) * WARM_UP) :]
    middle = len(settled) // 2
    first, second = (
        (part[-1].updates - part[0].updates) / (part[-1].seconds - part[0].seconds)
        for part in (settled[:middle], settled[middle:])
    )
    return first / second - 1


def _curve(run: Run) -> str:
    """Memory along the way, a number a window."""
    window = max(1, len(run.samples) // WINDOWS)
    medians = [median(each.memory for each in run.samples[at : at + window]) for at in range(0, len(run.samples), window)]
    return f"- `{run.name}`, MB by tenth: {', '.join(f'{each / 1e6:.1f}' for each in medians[:WINDOWS])}"


def passes(run: Run) -> bool:
    """Whether nothing grew and the run ended as it should."""
    memory = Growth.of([each.memory for each in run.samples])
    flat = all(
        Growth.of(values).last <= Growth.of(values).first
        for values in ([each.files for each in run.samples], [each.threads for each in run.samples])
    )
    return memory.share < ALLOWED_GROWTH and flat and run.status == INTERRUPTED and newest_complete(run.folder) is not None


def main() -> None:
    """Starts, watches, reports; status 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    parser.add_argument("--runs", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--set", nargs="*", default=[], metavar="a.b=c", help="more settings of the recipe")
    parser.add_argument("--out", type=Path, help="write the table there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background deaf to Ctrl-C
    with tempfile.TemporaryDirectory() as scratch:
        runs = [start(name, Path(scratch) / name, arguments.set) for name in arguments.runs]
        try:
            soak(runs, arguments.minutes, arguments.every)
        finally:
            for run in runs:
                run.process.kill()
        options = " ".join(sys.argv[1:])
        table = report(runs, f"python benchmarks/reliability/soak.py {options}".strip(), arguments.minutes)
    print(table)
    if arguments.out:
        arguments.out.write_text(table, encoding="utf-8")
    sys.exit(0 if all(map(passes, runs)) else 1)


if __name__ == "__main__":
    main()
