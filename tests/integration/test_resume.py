"""A run that is killed and resumed ends as if nothing had happened: weights bit for bit, pool, logs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fission_grpo.training import checkpoint

RECIPE = Path(__file__).parents[2] / "recipes" / "bfcl_quick.yaml"
SMALL = [
    "trainer.max_steps=4",
    "trainer.save_steps=1",
    "trainer.save_total_limit=null",
    "trainer.per_device_train_batch_size=16",
    "trainer.gradient_accumulation_steps=2",
    "trainer.num_generations=4",
    "fission.recovery_generations=4",
    "rollout.max_new_tokens=32",
    "tasks.train={generate: {count: 12, seed: 5, mix: compact}}",
]


def fission(*arguments: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fission_grpo", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]") -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def kill_after_checkpoint(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """SIGKILL once the checkpoint is whole, wherever the run is by then."""
    deadline = time.monotonic() + 240
    while not (folder / checkpoint.COMPLETE).exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["step", "episode"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, granularity: str):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = [*SMALL, f"granularity={granularity}"]
    finish(fission("train", str(RECIPE), *settings, "--run", str(whole)))
    kill_after_checkpoint(fission("train", str(RECIPE), *settings, "--run", str(broken)), broken / "checkpoint-2")
    finish(fission("resume", str(broken)))

    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (broken, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    states = [checkpoint.load_state(run / "checkpoint-4") for run in (broken, whole)]
    assert states[0]["engine"]["pool"] == states[1]["engine"]["pool"] != []
    assert states[0]["engine"] == states[1]["engine"]
    assert states[0]["queue"] == states[1]["queue"]
    assert lines(broken / "trajectories/fission_groups.jsonl") == lines(whole / "trajectories/fission_groups.jsonl")
    clockless = [[without_clock(record) for record in lines(run / "metrics.jsonl")] for run in (broken, whole)]
    assert clockless[0] == clockless[1]
    assert [record["step"] for record in clockless[0]] == [1, 2, 3, 4]

    before = (broken / "model" / "model.safetensors").read_bytes()
    finish(fission("resume", str(broken)))  # a finished run stays as it is
    assert (broken / "model" / "model.safetensors").read_bytes() == before


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_clock(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if "seconds" not in key}
