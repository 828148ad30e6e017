"""Whole runs on several processes (gloo): equal on all of them, killed, resumed on others, sharded.

All are forked from one process (`rank_scenarios.py`); the larger version is `benchmarks/reliability/processes.py`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fission_grpo.training.checkpoint import load_state

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs."""
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])}
    script = Path(__file__).with_name("rank_scenarios.py")
    done = subprocess.run([sys.executable, script, folder], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def ended(runs: Path, name: str) -> dict[str, Any]:
    return json.loads((runs / "ended.json").read_text(encoding="utf-8"))[name]


def lines(run: Path, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / log).read_text(encoding="utf-8").splitlines()]


def prompts(run: Path) -> list[object]:
    groups = lines(run, "trajectories/exploration_groups.jsonl")
    return [(group["step"], group["task_id"], len(group["rollouts"])) for group in groups]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_all_processes_end_alike_though_their_episodes_do_not(runs: Path):
    whole = ended(runs, "whole")
    assert whole["statuses"] == [0, 0]
    first, second = whole["seen"]
    assert first["passes"] != second["passes"]  # uneven turns
    assert first["weights"] == second["weights"]
    assert first["contexts"] == second["contexts"]
    assert any(first["contexts"])


def test_the_main_process_writes_for_all(runs: Path):
    metrics = lines(runs / "whole", "metrics.jsonl")
    assert [line["step"] for line in metrics] == [1, 2]
    assert all(line["exploration_rows"] + line["recovery_rows"] == 16 for line in metrics)
    groups = lines(runs / "whole", "trajectories/exploration_groups.jsonl")
    sampled = sum(len(group["rollouts"]) for group in groups if group["step"] == 1)
    assert sampled == metrics[0]["exploration_rows"] == 16
    said = [(runs / f"whole.rank-{rank}.log").read_text(encoding="utf-8") for rank in range(2)]
    assert "fission" not in said[1]


def test_a_dead_process_stops_the_others_and_the_run_goes_on_exactly(runs: Path):
    killed = ended(runs, "killed")
    assert killed["statuses"][1] == -signal.SIGKILL
    assert killed["statuses"][0] not in (0, None)
    assert killed["seconds"] < 60
    assert ended(runs, "killed_resumed")["statuses"] == [0, 0]
    ours, theirs = weights(runs / "killed"), weights(runs / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    states = [load_state(runs / run / "checkpoint-2") for run in ("killed", "whole")]
    assert states[0]["engine"] == states[1]["engine"]
    assert states[0]["queue"] == states[1]["queue"]


def test_a_run_goes_on_with_another_number_of_processes(runs: Path):
    alone = ended(runs, "on_one")
    assert alone["statuses"] == [0]
    assert alone["seen"][0]["restored"]
    assert prompts(runs / "on_one") == prompts(runs / "whole")
    assert [line["step"] for line in lines(runs / "on_one", "metrics.jsonl")] == [1, 2]


def test_processes_may_differ_in_how_many_rows_have_an_advantage(runs: Path):
    """TRL gathers metrics by row: each process must keep as many rows as the others."""
    assert ended(runs, "packed")["statuses"] == [0, 0]
    first, second = (torch.load(runs / "packed" / f"weights-{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_sharded_weights_are_trained_as_whole_ones(runs: Path):
    """FSDP2: every forward pass is collective, and the processes need different numbers of them."""
    sharded = ended(runs, "sharded")
    assert sharded["statuses"] == [0, 0]
    first, second = sharded["seen"]
    assert first["passes"] != second["passes"]
    assert first["weights"] == second["weights"]
    ours, theirs = weights(runs / "sharded"), weights(runs / "whole")
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=2e-3)
