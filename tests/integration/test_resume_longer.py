"""A run that ended is trained longer by a resume, as if it had been meant to be that long."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from training_runs import small_recipe, without_clock

from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.runs import train


def test_more_updates_are_as_if_they_had_been_planned(tmp_path: Path) -> None:
    longer, shorter = (small_recipe(f"trainer.max_steps={steps}", "trainer.save_steps=2") for steps in (4, 2))
    train(longer, tmp_path / "at_once")
    train(shorter, tmp_path / "in_parts")
    train(longer, tmp_path / "in_parts", resume=True)

    at_once, in_parts = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("at_once", "in_parts"))
    assert all(torch.equal(at_once[name], in_parts[name]) for name in at_once)
    metrics = without_clock(tmp_path / "in_parts")
    assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    assert metrics == without_clock(tmp_path / "at_once")
    assert RunFolder(tmp_path / "in_parts").recipe().trainer["max_steps"] == 4
