"""Does a run survive what fails around it, and is every fault accounted for? A long training with faults injected at random.

    python benchmarks/reliability/faults.py --updates 1000 --out benchmarks/results/reliability_faults.md

A training on the bundled policy, in which calls of the environment raise, memory does not suffice, the simulator's endpoint
fails in every way that it can, the disk is full, the clock jumps by hours and the process is killed. The product knows
nothing of it: the functions that a run calls are wrapped. Where a process ends, the next one resumes. What was injected
stands in a ledger, of which the run knows nothing either. In the end what the run says of its faults must be what the
ledger holds, kind by kind, and every update must stand in the logs once. Exit status 1 where that is not so.
"""

import argparse
import logging
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from injecting.account import Entry, account, gaps, masked
from injecting.driving import End, drive
from injecting.plan import Plan, draw_plan


def free_port() -> int:
    """A port for the endpoint, the same for all processes of the run."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def watched(plan: Plan) -> list[End]:
    """Drives the run, and shows how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    log = Path(plan.run) / "metrics.jsonl"
    with Progress(*columns) as progress:
        bar = progress.add_task("updates", total=plan.updates)

        def look() -> None:
            if log.exists():
                progress.update(bar, completed=log.read_bytes().count(b"\n"))

        return drive(plan, look)


def report(plan: Plan, ends: Sequence[End], entries: Sequence[Entry], wrong: Sequence[str], minutes: float) -> str:
    """The table, and what does not match."""
    injected, undone = sum(each.injected for each in entries), sum(each.undone for each in entries)
    balanced = sum(each.balanced for each in entries)
    lines = [
        "# Failing infrastructure",
        "",
        f"`python benchmarks/reliability/faults.py --updates {plan.updates} --seed {plan.seed}`",
        "",
        f"One run of {plan.updates:,} updates of 8 rows, saved every {plan.save_steps}; {len(ends)} processes, of which "
        f"{len(ends) - 1} were stopped by a fault and the next one resumed. {injected:,} faults were injected; "
        f"{undone:,} of them lay in updates that a resume did again. **{balanced} of {len(entries)} kinds are "
        f"accounted for to the last fault**, {masked(plan):,} rollouts masked. torch {version('torch')}, transformers "
        f"{version('transformers')}, TRL {version('trl')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.system()}; {minutes:.0f} minutes.",
        "",
        "| kind | injected | undone | accounted for in | count | matches |",
        "|---|--:|--:|---|--:|---|",
        *(
            f"| {each.kind} | {each.injected} | {each.undone} | {each.where} | {each.found} | "
            f"{'yes' if each.balanced else '**no**'} |"
            for each in entries
        ),
        "",
        "Undone: the run was stopped behind this update and resumed before it, so that it and its lines were done again. "
        "The count must be what was injected less that. `endpoint/...` are questions for training, `alignment/...` those "
        "for a measurement at a checkpoint.",
        "",
        *([f"- **{each}**" for each in wrong] or ["Every update stands in the logs once; no line is missing or torn."]),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1000, help="length of the run (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and of the training (default: 0)")
    parser.add_argument("--keep", type=Path, help="empty folder for the run, its ledger and the processes' logs")
    parser.add_argument("--out", type=Path, help="where to write the table; by default it is only printed")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # that a checkpoint is not whole is what is looked for
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        saves, stops = max(4, arguments.updates // 25), max(1, arguments.updates // 200)
        plan = draw_plan(folder / "run", arguments.seed, arguments.updates, free_port(), saves, stops)
        ends = watched(plan)
        entries = account(plan, ends)
        wrong = gaps(plan) + [f"a process ended with status {end.status}: {end.said}" for end in ends if not end.wanted]
        text = report(plan, ends, entries, wrong, (time.monotonic() - started) / 60)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(1 if wrong or not all(each.balanced for each in entries) else 0)


if __name__ == "__main__":
    main()
