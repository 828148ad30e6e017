"""Every method that keeps something of its own continues bit for bit from a checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import small_recipe, without_clock

from fission_grpo.training.runs import train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "granularity"),
    [
        ("cleaner", "step"),
        ("cleaner", "episode"),
        ("reflection", "step"),
        ("static_errors", "step"),
        ("dapo", "step"),
    ],
)
def test_a_resumed_method_ends_as_if_uninterrupted(tmp_path: Path, method: str, granularity: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    recipe = small_recipe(
        f"method={method}", f"granularity={granularity}", "trainer.max_steps=3", "trainer.save_steps=1",
        "trainer.save_total_limit=null", "fission.pool_capacity=6",
    )  # fmt: skip
    train(recipe, whole)
    shutil.copytree(whole, broken)
    for folder in ("checkpoint-2", "checkpoint-3", "model"):
        shutil.rmtree(broken / folder)
    train(recipe, broken, resume=True)

    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (broken, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    metrics = [without_clock(run) for run in (broken, whole)]
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) == 3
    for log in (whole / "trajectories").iterdir():
        assert log.read_bytes() == (broken / "trajectories" / log.name).read_bytes()
