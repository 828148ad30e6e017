"""Do several processes train as one? Runs on 1, 2 and 4 gloo processes, killed, resumed on others, and sharded by FSDP2.

    python benchmarks/reliability/processes.py --out benchmarks/results/reliability_processes.md

Every line of the table is one run or a pair of runs on the bundled policy, in groups of 8 that lie on several processes. All
processes are forked from one that has loaded the libraries, and one run is started by `accelerate launch`. accelerate
shards on accelerators only: in the sharded runs, gloo processes on the CPU pass for such.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors.torch import load_file

from fission_grpo.fission import FissionEngine
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.training.checkpoint import load_state
from fission_grpo.training.trainer import FissionGRPOTrainer
from ranks.forks import RECIPE, Death, Ended, run_processes, said

ROWS, UPDATES, HALF = 16, 4, 2
SETTINGS = (
    f"trainer.max_steps={UPDATES}",
    "trainer.save_steps=1",
    "trainer.save_total_limit=null",
    "trainer.gradient_accumulation_steps=1",
    "trainer.num_generations=8",
    "fission.recovery_generations=8",
    "fission.signal_filter=none",
    "rollout.max_new_tokens=32",
    "tasks.train={generate: {count: 12, seed: 5, mix: compact}}",
)
LOGS = ("exploration_groups", "fission_groups")


@dataclass(frozen=True)
class Line:
    """A line of the table: what was run, and what went otherwise than it should."""

    what: str
    granularity: str
    processes: str
    found: str
    faults: list[str]


@dataclass(frozen=True)
class Bench:
    """Runs of one granularity, in a folder."""

    folder: Path
    granularity: str

    def settings(self, count: int) -> tuple[str, ...]:
        return (*SETTINGS, f"granularity={self.granularity}", f"trainer.per_device_train_batch_size={ROWS // count}")

    def run(self, name: str) -> Path:
        return self.folder / f"{self.granularity}-{name}"

    def whole(self, count: int) -> Line:
        """A run of its own, beside that of one process."""
        run, one = self.run(f"whole-{count}"), self.run("whole-1")
        ended = run_processes(count, run, self.settings(count))
        faults = _faults(ended) + _unlike("prompts explored", _prompts(run), _prompts(one))
        if not any(update["grad_norm"] for update in _metrics(run)):
            faults.append("the weights stood still")
        passes = _share(ended, lambda seen: sum(seen.passes))
        recovered = sum(bool(contexts) for contexts in ended.seen[0].contexts) if ended.seen else 0
        found = f"sampling took {passes} forward passes by process; {recovered} updates with recoveries"
        return self.line("trained beside one process", str(count), found, faults)

    def one(self) -> Line:
        ended = run_processes(1, self.run("whole-1"), self.settings(1))
        return self.line("trained", "1", "the run that others are held against", _faults(ended))

    def spared(self) -> Line:
        run = self.run("spared")
        ended = run_processes(2, run, self.settings(2), spared=1)
        updates = sum(bool(contexts) for contexts in ended.seen[0].contexts) if ended.seen else 0
        return self.line("no failures on one process", "2", f"{updates} updates with recoveries", _faults(ended))

    def resumed(self, *counts: int) -> Line:
        """One update after another, cut off behind its checkpoint and continued on another number of processes."""
        run, whole = self.run("resumed-" + "-".join(map(str, counts))), self.run(f"whole-{counts[0]}")
        _cut(whole, run, HALF)
        faults: list[str] = []
        for place, count in enumerate(counts[1:]):
            ended = run_processes(count, run)
            faults += _faults(ended) + [f"state on {count}" for seen in ended.seen if seen.restored is not True]
            if place + 2 < len(counts):
                _cut(run, run, HALF + 1 + place)
        faults += _unlike("prompts explored", _prompts(run), _prompts(whole)) + _trained_twice(run)
        if len(set(counts)) == 1:
            faults += _inexact(run, whole)
        found = "bit for bit as uninterrupted" if len(set(counts)) == 1 else "pool and queue taken over, same prompts"
        return self.line("cut off and resumed", " to ".join(map(str, counts)), found, faults)

    def killed(self, where: str, death: Death) -> Line:
        run, whole = self.run(f"killed-{where.replace(' ', '-')}"), self.run("whole-2")
        ended = run_processes(2, run, self.settings(2), death=death)
        other = 1 - death.rank
        faults = [] if ended.statuses[death.rank] == -signal.SIGKILL else [f"not killed: {ended.statuses}"]
        if ended.statuses[other] in (0, None):
            faults.append("the other went on")
        reason = said(run, other).strip().splitlines()[-1:]
        again = run_processes(2, run)
        faults += _faults(again) + _inexact(run, whole)
        error = "Connection closed by peer" if reason and "onnection" in reason[0] else str(reason)[:60]
        found = f"the other stopped after {ended.seconds:.1f} s ({error}); resumed bit for bit"
        return self.line(f"process {death.rank} killed {where}", "2", found, faults)

    def sharded(self) -> Line:
        run, whole = self.run("sharded"), self.run("whole-2")
        ended = run_processes(2, run, (*self.settings(2), "trainer.use_cpu=false"), sharded=True)
        faults = _faults(ended) + _unlike("prompts explored", _prompts(run), _prompts(whole))
        passes = _share(ended, lambda seen: sum(seen.passes))
        again = self.run("sharded-resumed")
        if not faults:
            _cut(run, again, HALF)
            faults += _faults(run_processes(2, again, sharded=True)) + _inexact(again, run)
        found = f"FSDP2: {passes} forward passes by process; resumed bit for bit; {_difference(run, whole)} from DDP"
        return self.line("weights sharded", "2", found, faults)

    def line(self, what: str, processes: str, found: str, faults: list[str]) -> Line:
        return Line(what, self.granularity, processes, found, faults)


def launched(folder: Path) -> Line:
    """`accelerate launch`, one process of which is killed as soon as an update is done."""
    run = folder / "launched"
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    settings = [*SETTINGS, f"trainer.per_device_train_batch_size={ROWS // 2}", f"trainer.max_steps={UPDATES * 50}"]
    command = [sys.executable, "-m", *launch, "-m", "fission_grpo", "train", str(RECIPE), *settings, "--run", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (run / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.2)
    ranks = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1"]
    started = time.monotonic()
    for child in ranks:
        child.kill()
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    faults = [] if ranks and process.returncode not in (0, None) else [f"status {process.returncode}"]
    if "Signal 9 (SIGKILL)" not in output:
        faults.append("the launcher does not say which process was killed")
    if output.count("Run folder:") != 1:
        faults.append(f"the run folder is named {output.count('Run folder:')} times")
    return Line(
        "started by accelerate launch, process 1 killed", "step", "2",
        f"everything had ended after {seconds:.1f} s; the launcher names process and signal", faults,
    )  # fmt: skip


def _faults(ended: Ended) -> list[str]:
    """What is wrong in any run of several processes."""
    if not ended.well:
        return [f"exit statuses {ended.statuses}"]
    differing = [name for name in ("weights", "contexts") if len({str(getattr(seen, name)) for seen in ended.seen}) > 1]
    return [f"{name} differ between processes" for name in differing]


def _share(ended: Ended, of: Callable[[Any], int]) -> str:
    return ", ".join(str(of(seen)) for seen in ended.seen)


def _unlike(what: str, ours: object, theirs: object) -> list[str]:
    return [] if ours == theirs else [f"{what} differ"]


def _lines(run: Path, log: str) -> list[dict[str, Any]]:
    path = run / "trajectories" / f"{log}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _prompts(run: Path) -> list[object]:
    return [(group["step"], group["task_id"], group["messages"], len(group["rollouts"])) for group in _lines(run, LOGS[0])]


def _trained_twice(run: Path) -> list[str]:
    trained = [(group["key"], group["failure"]["attempt"], group["step"]) for group in _lines(run, LOGS[1])]
    return [] if len(trained) == len(set(trained)) else ["a context was trained twice"]


def _inexact(ours: Path, theirs: Path) -> list[str]:
    """What is not as in the run that was never interrupted."""
    faults = _unlike("weights", _weights(ours), _weights(theirs))
    for log in LOGS:
        faults += _unlike(log, _lines(ours, log), _lines(theirs, log))
    states = [load_state(run / f"checkpoint-{UPDATES}") for run in (ours, theirs)]
    return faults + _unlike("pool and queue", *[(state["engine"], state["queue"]) for state in states])


def _weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def _difference(ours: Path, theirs: Path) -> str:
    """Largest difference of a weight, as a share of the largest weight."""
    if not (ours / "model").exists():
        return "?"
    one, other = (load_file(run / "model" / "model.safetensors") for run in (ours, theirs))
    largest = max(float(weight.abs().max()) for weight in other.values())
    return f"weights {max(float((one[name] - other[name]).abs().max()) for name in other) / largest:.0e}"


def _cut(whole: Path, run: Path, kept: int) -> None:
    """Makes of a run one that ended behind a checkpoint."""
    if run != whole:
        shutil.copytree(whole, run)
    shutil.rmtree(run / "model", ignore_errors=True)
    for step in range(kept + 1, UPDATES + 1):
        shutil.rmtree(run / f"checkpoint-{step}", ignore_errors=True)


def scenarios(folder: Path) -> list[Callable[[], Line]]:
    found: list[Callable[[], Line]] = []
    for granularity in ("step", "episode"):
        bench = Bench(folder, granularity)
        found += [bench.one, lambda b=bench: b.whole(2), lambda b=bench: b.whole(4), bench.spared]
        for counts in ((2, 2), (1, 2), (2, 1), (4, 2, 1)):
            found.append(lambda b=bench, c=counts: b.resumed(*c))
        for where, death in (
            ("while it samples", Death(1, TransformersPolicy, "generate", 3)),
            ("in the update", Death(1, FissionGRPOTrainer, "_compute_loss", 3)),
            ("while it asks simulators", Death(0, FissionEngine, "pop", 3)),
        ):
            found.append(lambda b=bench, w=where, d=death: b.killed(w, d))
        found.append(bench.sharded)
    return [*found, lambda: launched(folder)]


def report(lines: list[Line], command: str, seconds: float) -> str:
    well = sum(not line.faults for line in lines)
    head = [
        "# Several processes",
        "",
        f"`{command}`",
        "",
        f"**{well} of {len(lines)}** as they should be. {UPDATES} updates of {ROWS} rows each, groups of 8, on the bundled "
        f"policy; a run that is cut off has {HALF} updates behind it. In every run, weights and contexts are equal on all "
        f"processes. torch {version('torch')}, accelerate {version('accelerate')}, transformers {version('transformers')}, "
        f"TRL {version('trl')}, Python {platform.python_version()}, gloo, {os.cpu_count()} cores, {platform.system()}; "
        f"{seconds / 60:.0f} minutes.",
        "",
        "| run | granularity | processes | found | as it should be |",
        "|---|---|---|---|---|",
    ]
    rows = [
        f"| {line.what} | {line.granularity} | {line.processes} | {line.found} | "
        f"{'yes' if not line.faults else '**no**: ' + '; '.join(line.faults)} |"
        for line in lines
    ]
    return "\n".join([*head, *rows, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the table to this file too")
    parser.add_argument("--folder", type=Path, help="keep the runs here (default: a temporary folder)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="fission-processes-"))
    folder.mkdir(parents=True, exist_ok=True)
    started, lines = time.monotonic(), list[Line]()
    todo = scenarios(folder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    command = "python benchmarks/reliability/processes.py --out benchmarks/results/reliability_processes.md"
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(todo))
        for scenario in todo:
            lines.append(scenario())
            progress.update(bar, advance=1, description=lines[-1].what)
            if arguments.out:
                arguments.out.write_text(report(lines, command, time.monotonic() - started), encoding="utf-8")
    print(report(lines, command, time.monotonic() - started))
    if not arguments.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
