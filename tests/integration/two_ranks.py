"""Trained by `rank_scenarios.py` on two processes, which differ in how many rows have an advantage."""

import os
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from training_runs import SETTINGS
from trl.trainer.grpo_config import GRPOConfig

from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.training.prefix_sharing.trainer import PrefixSharingGRPOTrainer


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """On the second process only one group has variance."""
    if os.environ["RANK"] == "1":
        return [1.0] * (len(completion_ids) - 1) + [2.0]
    return [float(index % 2) for index in range(len(completion_ids))]


def train_packed(folder: Path) -> None:
    model, tokenizer = load_policy_model("bundled")
    settings: dict[str, Any] = {**SETTINGS, "max_steps": 2, "max_completion_length": 8, "logging_steps": 1}
    trainer: Any = PrefixSharingGRPOTrainer(
        model,
        reward,
        GRPOConfig(output_dir=str(folder), **settings),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": f"Please open note{index}. " * 8} for index in range(64)]),
    )
    trainer.train()
    weights = torch.cat([each.detach().flatten() for each in trainer.accelerator.unwrap_model(trainer.model).parameters()])
    torch.save(weights, folder / f"weights-{os.environ['RANK']}.pt")
