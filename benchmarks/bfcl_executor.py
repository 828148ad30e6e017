"""Speed of the BFCL environment beside bfcl-eval's own executor, in one run.

    python benchmarks/bfcl_executor.py --out benchmarks/results/bfcl_executor.md

Three questions, each with its target:

- calls a second on one core: at least 15,000, and at least three times bfcl-eval's;
- the mean cost of a fork (snapshot, restore into another environment, and the first call there): at most 300 us;
- the resident memory of 8,000 live environments in the middle of their tasks: at most 100 MB.

Both executors play the reference calls of the same official tasks, alternating task set by task set, construction of the
instances included. Times are CPU seconds of the thread, so that a busy neighbour does not blur them.
"""

import argparse
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

from fission_grpo.environments.bfcl import CATEGORIES, BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.executor import execute
from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.environments.bfcl.prepared import prepare
from fission_grpo.environments.bfcl.state import WorldState
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall


def call_text(call: ToolCall) -> str:
    """A call in the form that bfcl-eval evaluates."""
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


def play_official(tasks: Sequence[Task]) -> None:
    """bfcl-eval's executor, called as its checker does: once per turn. Its instance cache is emptied after each task."""
    module = package_module("eval_checker.multi_turn_eval.multi_turn_utils")
    names = set(vars(module))
    for task in tasks:
        for turn in task.turns:
            texts = [call_text(call) for call in turn.calls]
            module.execute_multi_turn_func_call(texts, task.config, list(task.classes), "m", task.id, task.long_context)
        for name in vars(module).keys() - names:
            delattr(module, name)


def play_executor(tasks: Sequence[Task]) -> None:
    """Our executor alone: fresh instances, then the calls."""
    for task in tasks:
        prepared = prepare(task)
        state = WorldState(prepared.initial)
        for turn in task.turns:
            for call in turn.calls:
                execute(call, prepared.table, state)


def play_environment(tasks: Sequence[Task]) -> None:
    """The whole environment: reset, calls, and the verdict of every turn."""
    environment = BFCLEnvironment()
    for task in tasks:
        environment.reset(task)
        for turn in task.turns:
            for call in turn.calls:
                environment.call(call)
            environment.next_user_turn()


def cpu_seconds(play: Callable[[Sequence[Task]], None], tasks: Sequence[Task]) -> float:
    gc.collect()
    start = time.thread_time()
    play(tasks)
    return time.thread_time() - start


def measure_speed(tasks: Sequence[Task], repetitions: int) -> list[str]:
    calls = sum(len(turn.calls) for task in tasks for turn in task.turns)
    players = {
        "bfcl-eval, one call of its executor a turn": play_official,
        "our executor": play_executor,
        "our environment, verdicts included": play_environment,
    }
    for play in players.values():
        play(tasks)  # imports, tables and the ground truth are made once a process, not once a call
    rates: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(repetitions):
        for name, play in players.items():
            rates[name].append(calls / cpu_seconds(play, tasks))
    official = statistics.median(next(iter(rates.values())))
    lines = [
        f"| {len(tasks)} tasks, {calls} calls | calls/s, median | lowest to highest | times bfcl-eval |",
        "|---|---|---|---|",
    ]
    for name, values in rates.items():
        median = statistics.median(values)
        lines.append(f"| {name} | {median:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {median / official:.1f} |")
    return lines


def measure_forks(tasks: Sequence[Task]) -> list[str]:
    """A fork before every reference call of every task, and the call in the fork, which makes its instance live."""
    parent, child = BFCLEnvironment(), BFCLEnvironment()
    forks: list[float] = []
    forks_and_calls: list[float] = []
    for task in tasks:
        parent.reset(task)
        for turn in task.turns:
            for call in turn.calls:
                start = time.thread_time()
                child.restore(parent.snapshot())
                forked = time.thread_time()
                child.call(call)
                forks_and_calls.append((time.thread_time() - start) * 1e6)
                forks.append((forked - start) * 1e6)
                parent.call(call)
            parent.next_user_turn()
    lines = [f"| {len(forks)} forks, us | mean | median | 99th percentile |", "|---|---|---|---|"]
    for name, values in (("snapshot and restore", forks), ("and the first call in the fork", forks_and_calls)):
        ordered = sorted(values)
        percentile = ordered[int(0.99 * len(ordered))]
        lines.append(f"| {name} | {statistics.mean(ordered):.0f} | {statistics.median(ordered):.0f} | {percentile:.0f} |")
    return lines


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_memory(tasks: Sequence[Task], count: int) -> list[str]:
    """Growth of the resident memory by live environments: fresh, and after a turn and one more call each."""
    for task in tasks:
        prepare(task)
    gc.collect()
    before = resident_megabytes()
    environments = [BFCLEnvironment() for _ in range(count)]
    played = list(zip(environments, islice(cycle(tasks), count), strict=True))
    for environment, task in played:
        environment.reset(task)
    fresh = resident_megabytes() - before
    for environment, task in played:
        for call in task.turns[0].calls:
            environment.call(call)
        environment.next_user_turn()
        for call in [call for turn in task.turns[1:] for call in turn.calls][:1]:
            environment.call(call)
    gc.collect()
    live = resident_megabytes() - before
    return [
        f"| {count:,} environments | MB |",
        "|---|---|",
        f"| after `reset` | {fresh:.0f} |",
        f"| after a turn and one more call | {live:.0f} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--environments", type=int, default=8000)
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    tasks = [task for category in CATEGORIES for task in official_tasks(category)]
    sections = {
        # First: memory that the other measurements freed would be reused, and hide the growth.
        "Memory": measure_memory(tasks[:200], arguments.environments),
        "Speed": measure_speed(tasks, arguments.repetitions),
        "Fork": measure_forks(tasks),
    }
    command = f"python benchmarks/bfcl_executor.py --repetitions {arguments.repetitions}"
    lines = [
        "# BFCL executor",
        "",
        f"`{command} --environments {arguments.environments}`: Python {platform.python_version()}, {os.cpu_count()} cores,",
        "one thread, CPU seconds. All 800 official multi-turn tasks; memory on the 200 of `multi_turn_base`.",
    ]
    for title, table in sections.items():
        lines += ["", f"## {title}", "", *table]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
