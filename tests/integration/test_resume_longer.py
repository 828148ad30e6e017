"""A run that ended is trained longer by a resume, as if it had been meant to be that long."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from training_runs import small_recipe

from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.runs import train


def test_more_updates_are_as_if_they_had_been_planned(tmp_path: Path) -> None:
    longer, shorter = (small_recipe(f"trainer.max_steps={steps}", "trainer.save_steps=2") for steps in (4, 2))
    train(longer, tmp_path / "at_once")
    train(shorter, tmp_path / "in_parts")
    train(longer, tmp_path / "in_parts", resume=True)

    at_once, in_parts = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("at_once", "in_parts"))
    assert all(torch.equal(at_once[name], in_parts[name]) for name in at_once)
    assert _metrics(tmp_path / "in_parts") == _metrics(tmp_path / "at_once")
    assert RunFolder(tmp_path / "in_parts").recipe().trainer["max_steps"] == 4


def _metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open(encoding="utf-8")]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]
