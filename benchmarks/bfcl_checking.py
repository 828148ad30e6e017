"""How fast results are judged: our way (safe executor, cached reference states) against bfcl-eval's own, in the same run.

    python benchmarks/bfcl_checking.py --processes 2 --rounds 5

Both judge the 8,000 entries of the fixtures in as many processes, from decoded calls to verdicts, with bfcl-eval's own state
and response checks; ours counts the recovery metrics besides. Rounds alternate in order; starting the processes is part of
the time. bfcl-eval's `eval` is given the calls as they are: the entries are ours, and harmless. Writes
benchmarks/results/bfcl_checking.md.
"""

import argparse
import multiprocessing
import platform
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.evaluation.bfcl.checking import judge_all
from fission_grpo.evaluation.bfcl.entries import task_of
from official_bfcl.calls import STYLES
from official_bfcl.parity import JobOfFixture, ground_truth, jobs

OUT = Path(__file__).parent / "results" / "bfcl_checking.md"


def judge_ours(fixtures: Sequence[JobOfFixture], processes: int) -> list[bool]:
    return [bool(judged.verdict and judged.verdict.valid) for judged in judge_all([f.job for f in fixtures], processes)]


def judge_officially(fixtures: Sequence[JobOfFixture], processes: int) -> list[bool]:
    with multiprocessing.get_context("forkserver").Pool(
        processes, initializer=warnings.simplefilter, initargs=("ignore",)
    ) as pool:
        return pool.map(official_verdict, list(enumerate(fixtures)), chunksize=32)


def official_verdict(numbered: tuple[int, JobOfFixture]) -> bool:
    """One entry as `multi_turn_checker` judges it; a name of its own keeps the instances of others out of it."""
    number, fixture = numbered
    turns, task = fixture.job.turns, task_of(fixture.job.task_id)
    if turns is None or len(turns) != len(task.turns):
        return False
    row = {"id": task.id, "initial_config": task.config, "involved_classes": list(task.classes)}
    executor = package_module("eval_checker.multi_turn_eval.multi_turn_utils")
    before = set(vars(executor))
    check = package_module("eval_checker.multi_turn_eval.multi_turn_checker").multi_turn_checker
    try:
        return bool(check(turns, ground_truth()[task.id], row, task.tags[0], f"m{number}")["valid"])
    finally:
        for name in vars(executor).keys() - before:
            delattr(executor, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    fixtures = [fixture for style in STYLES for fixture in jobs(style)]
    ways = {"ours": judge_ours, "bfcl-eval": judge_officially}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_index in range(options.rounds):
        for name in list(ways) if round_index % 2 == 0 else list(ways)[::-1]:
            started = time.perf_counter()
            verdicts = ways[name](fixtures, options.processes)
            rates[name].append(len(fixtures) / (time.perf_counter() - started))
            wrong = sum(verdict != fixture.valid for verdict, fixture in zip(verdicts, fixtures, strict=True))
            print(f"round {round_index}, {name}: {rates[name][-1]:.0f} trajectories/s, {wrong} verdicts differ", flush=True)
    lines = [
        "# Judging results",
        "",
        f"`python benchmarks/bfcl_checking.py --processes {options.processes} --rounds {options.rounds}`, "
        f"{platform.machine()}, Python {platform.python_version()}, {len(fixtures)} trajectories a round.",
        "",
        "bfcl-eval's way stops at the first wrong turn and gives a verdict. Ours executes every call, judges every turn,",
        "and counts what came after each error; and it evaluates nothing.",
        "",
        "| way | trajectories/s: median | lowest to highest |",
        "|---|--:|--:|",
        *[f"| {name} | {statistics.median(r):.0f} | {min(r):.0f} to {max(r):.0f} |" for name, r in rates.items()],
    ]
    ratios = [ours / official for ours, official in zip(rates["ours"], rates["bfcl-eval"], strict=True)]
    lines += ["", f"Ratio, round by round: median {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})."]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
