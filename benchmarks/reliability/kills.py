"""Is a run that is killed and resumed the run that never was? SIGKILL at chosen points and at random times.

    python benchmarks/reliability/kills.py --random 5 --out benchmarks/results/reliability_kills.md

An uninterrupted run of each kind is made by `fission train`. Others are killed: inside a function, by wrapping it from
outside, or at a random time. Then `fission resume` ends them. Weights, optimizer, random states, pool, selection,
escalation, queue, logs and evaluations must be the same to the last bit, clock times aside; the newest checkpoint that
was ever whole must be there after each kill; and no endpoint may be asked again for what it has answered.
"""

import argparse
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from killing.differences import differences
from killing.endpoint import Endpoint, answering
from killing.kinds import ENDPOINT, EPISODE, LOCAL, STEP, Kind
from killing.places import CHOSEN, at_random_times
from killing.points import Point
from killing.processes import RunFailed, run_plainly, run_warm
from killing.trials import Death, Outcome, Trial, undergo

KINDS = (STEP, EPISODE, ENDPOINT, LOCAL)


@dataclass(frozen=True)
class Bench:
    """Where the runs are made, and how many side by side."""

    folder: Path
    endpoint: Endpoint
    jobs: int

    def whole(self, kind: Kind) -> Path:
        return self.folder / f"whole-{kind.name}"

    def make_whole(self, kind: Kind) -> float:
        """The uninterrupted run; returns how many seconds it took."""
        started = time.monotonic()
        run_warm(kind.train(self.whole(kind), self.endpoint), self.whole(kind))
        return time.monotonic() - started

    def compare_plain(self, kind: Kind) -> Outcome:
        """What a plain process makes of a kind, beside the forks that everything else is."""
        run = self.folder / f"plain-{kind.name}"
        run_plainly(kind.train(run, self.endpoint), run)
        return Outcome(Trial("not at all, in a plain process", kind, ()), [], differences(run, self.whole(kind)))

    def undergo(self, trial: Trial, name: str) -> Outcome:
        run = self.folder / name
        try:
            outcome = undergo(trial, run, self.whole(trial.kind), self.endpoint)
        except RunFailed as failure:
            return Outcome(trial, differences=[str(failure)])
        if not outcome.differences:
            shutil.rmtree(run)
        return outcome

    def all_of(self, trials: Sequence[Trial], done: Callable[[Outcome], None]) -> list[Outcome]:
        def one(place: int) -> Outcome:
            outcome = self.undergo(trials[place], f"run-{place}")
            done(outcome)
            return outcome

        with ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(one, range(len(trials))))


def report(outcomes: Sequence[Outcome], command: str, seconds: float) -> str:
    killed = [outcome for outcome in outcomes if outcome.deaths]
    kills = sum(len(outcome.deaths) for outcome in killed)
    exact = sum(not outcome.differences for outcome in killed)
    chosen = sum(isinstance(kill, Point) for outcome in killed for kill in outcome.trial.kills)
    lines = [
        "# Killed and resumed",
        "",
        f"`{command}`",
        "",
        f"{len(killed)} runs, {kills} kills by SIGKILL, {chosen} of them at chosen points, the others at random times; "
        f"**{exact} of {len(killed)} killed runs exact**. One process, one thread; torch {version('torch')}, transformers "
        f"{version('transformers')}, TRL {version('trl')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.system()}; {seconds / 60:.0f} minutes.",
        "",
        "Kinds: `step`, 6 updates, saved after each, two checkpoints kept; `episode`, 6 updates in whole episodes, saved "
        "after each second one; `endpoint`, as `step` with a chat endpoint as simulator, selection, escalation, alignment "
        "measured at each second checkpoint, and an evaluation of 2 tasks; `local`, 4 updates, likewise with a language "
        "model in the same process. Each goes through its 4 tasks more than once.",
        "",
        "Logged: updates that stood in `metrics.jsonl` at each kill. Kept: updates in the newest checkpoint that was whole "
        "then. What lies between was lost and done again, and so was the update under way.",
        "",
        "| kind | killed | kills | logged | kept | exact |",
        "|---|---|--:|---|---|---|",
    ]
    for outcome in outcomes:
        logged, kept = (_listed(values) for values in zip(*map(astuple, outcome.deaths or [Death(0, 0)]), strict=True))
        verdict = "yes" if not outcome.differences else f"**no**: {'; '.join(outcome.differences)}"
        trial = outcome.trial
        lines.append(f"| {trial.kind.name} | {trial.name} | {len(outcome.deaths)} | {logged} | {kept} | {verdict} |")
    return "\n".join([*lines, ""])


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=5, help="runs of each kind killed at random times (default: 5)")
    parser.add_argument("--only", help="chosen points whose name holds this text (default: all)", default="")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: 2)")
    parser.add_argument("--keep", type=Path, help="folder for the runs; those that are not exact stay there")
    parser.add_argument("--out", type=Path, help="where to write the table; by default it is only printed")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # that a checkpoint is not whole is what is looked for
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as folder, answering() as endpoint, Progress(*columns) as progress:
        bench = Bench(arguments.keep or Path(folder), endpoint, arguments.jobs)
        bench.folder.mkdir(parents=True, exist_ok=True)
        bar = progress.add_task("whole runs", total=len(KINDS) + 1)

        def done(outcome: Outcome) -> None:
            progress.advance(bar)
            if outcome.differences:
                progress.console.print(f"{outcome.trial.name}: {outcome.differences}", markup=False, highlight=False)

        trials = [trial for trial in CHOSEN if arguments.only in trial.name]
        run_warm(["--help"], bench.folder / "server")  # the imports are no part of how long a run takes
        for kind in KINDS:
            trials += at_random_times(kind, arguments.random, bench.make_whole(kind))
            progress.advance(bar)
        outcomes = [bench.compare_plain(STEP)]
        progress.update(bar, description="killed runs", total=len(trials), completed=0)
        outcomes += bench.all_of(trials, done)
    command = f"python benchmarks/reliability/kills.py --random {arguments.random}"
    text = report(outcomes, command, time.monotonic() - started)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
