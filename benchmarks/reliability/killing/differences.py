"""What tells a run that was killed and resumed from one that never was. Clock times aside, nothing may."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fission_grpo.reports.data import EVALUATION_FILE, START_FILE
from fission_grpo.training import checkpoint
from fission_grpo.training.run_folder import ALIGNMENT_LOG, GROUP_LOGS

_TENSOR_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


def differences(run: Path, whole: Path) -> list[str]:
    """One short text for everything that differs; none where the run is exact."""
    found = [*_of_model(run, whole), *_of_checkpoints(run, whole), *_of_logs(run, whole), *_of_leftovers(run)]
    repeated = [key for key, count in trained(run).items() if count > 1]
    return [*found, *(f"context {key} was trained more than once" for key in repeated)]


def trained(run: Path) -> Counter[tuple[int, str, int]]:
    """How often each context was trained: by update, key and attempt."""
    groups = lines(run / GROUP_LOGS["recovery"])
    return Counter((group["step"], group["key"], group["failure"]["attempt"]) for group in groups)


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a log without clock times."""
    if not path.exists():
        return []
    return [_without_clock(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _of_model(run: Path, whole: Path) -> list[str]:
    ours, theirs = ({path.name: path.read_bytes() for path in (each / "model").iterdir()} for each in (run, whole))
    if ours.keys() != theirs.keys():
        return [f"files of the model: {sorted(ours)}, not {sorted(theirs)}"]
    return [f"model/{name}" for name in ours if ours[name] != theirs[name] and name != "training_args.bin"]  # holds the path


def _of_checkpoints(run: Path, whole: Path) -> list[str]:
    ours, theirs = (sorted(path.name for path in each.glob("checkpoint-*")) for each in (run, whole))
    if ours != theirs:
        return [f"checkpoints: {ours}, not {theirs}"]
    found = [f"{name} is not whole" for name in ours if not checkpoint.is_complete(run / name)]
    last = max(ours, key=lambda name: checkpoint.step_of(run / name))
    return found + [f"{last}/{each}" for each in _of_states(run / last, whole / last)]


def _of_states(ours: Path, theirs: Path) -> list[str]:
    found = ["model.safetensors"] if _bytes(ours, "model.safetensors") != _bytes(theirs, "model.safetensors") else []
    for name in _TENSOR_FILES:
        values = [torch.load(each / name, weights_only=False) for each in (ours, theirs)]
        if not equal(*values):
            found.append(name)
    history = [_without_clock(json.loads((each / "trainer_state.json").read_text())) for each in (ours, theirs)]
    found += [f"trainer_state.json: {key}" for key in history[1] if history[0].get(key) != history[1][key]]
    states = [checkpoint.load_state(each) for each in (ours, theirs)]
    for state in states:
        del state["logs"]["metrics.jsonl"], state["logs"][ALIGNMENT_LOG]  # their clock times differ in length
    return found + [f"state: {key}" for key in states[1] if not equal(states[0].get(key), states[1][key])]


def _of_logs(run: Path, whole: Path) -> list[str]:
    names = ("metrics.jsonl", ALIGNMENT_LOG, *GROUP_LOGS.values(), START_FILE, EVALUATION_FILE)
    found = [name for name in names if lines(run / name) != lines(whole / name)]
    steps = [record["step"] for record in lines(run / "metrics.jsonl")]
    return found if steps == list(range(1, len(steps) + 1)) else [*found, f"steps of metrics.jsonl: {steps}"]


def _of_leftovers(run: Path) -> list[str]:
    return [f"left behind: {path.name}" for path in run.iterdir() if path.name.endswith(".partial")]


def equal(first: Any, second: Any) -> bool:
    """Whether two values are equal to the last bit, tensors and arrays inside included."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool((first == second).all()) if hasattr(first, "dtype") else bool(first == second)


def _without_clock(value: Any) -> Any:
    """Without what a clock measured, at any depth."""
    if isinstance(value, dict):
        return {key: _without_clock(each) for key, each in value.items() if not _is_clock(key)}
    return [_without_clock(each) for each in value] if isinstance(value, list) else value


def _is_clock(key: str) -> bool:
    return "seconds" in key or key.startswith("time/") or key == "step_time"


def _bytes(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()
