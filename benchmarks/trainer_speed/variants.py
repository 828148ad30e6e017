# pyright: reportPrivateUsage=false
# The benchmark calls what TRL's training loop calls.
"""The trainers that are compared: TRL's, TRL's without its waste in the LM head, and ours."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fission_grpo.training.prefix_sharing.trainer import PrefixSharingGRPOTrainer
from trainer_speed.sizes import Size

TRL = "TRL's GRPOTrainer"
TRIMMED = "TRL's, only completions in its LM head"
OURS = "PrefixSharingGRPOTrainer"


def variant_names() -> list[str]:
    """On a GPU TRL puts only completions through its LM head by itself."""
    return [TRL, OURS] if torch.cuda.is_available() else [TRL, TRIMMED, OURS]


def trim_head(model: Any) -> None:
    """Lets TRL's fused LM head see only the positions that predict a completion token, on a CPU too.

    Nothing of TRL is replaced: before the model runs, its labels are cut to the columns in which any row has one; after its
    backbone, the hidden states to the same columns. TRL scores what it is given.
    """
    kept = 0

    def cut_labels(_module: nn.Module, arguments: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal kept
        labels: Tensor | None = options.get("labels") if options.get("fused_lm_head") else None
        if labels is None:
            kept = 0
            return arguments, options
        first = int((labels != -100).any(dim=0).nonzero()[0])
        kept = labels.shape[1] - first + 1  # and the position before, which predicts the first
        return arguments, options | {"labels": labels[:, -kept:]}

    def cut_states(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        if kept:
            output.last_hidden_state = output.last_hidden_state[:, -kept:]
        return output

    model.register_forward_pre_hook(cut_labels, with_kwargs=True)
    model.base_model.register_forward_hook(cut_states)


class Variant:
    """One trainer on its own copy of the model, ready to compute losses.

    Attributes:
        rows: of one forward and backward pass.
    """

    def __init__(self, name: str, size: Size, model: Any, tokenizer: Any, folder: Path) -> None:
        self.name = name
        self.rows = size.packed_groups * size.group if name == OURS else size.padded_rows
        make: type[GRPOTrainer] = PrefixSharingGRPOTrainer if name == OURS else GRPOTrainer
        own = deepcopy(model)
        # Before the trainer: its fused head then looks up the hooked backbone, and the hook sees the labels first.
        if name == TRIMMED:
            trim_head(own)
        self.trainer: Any = make(
            own,
            no_reward,
            self._config(size, folder),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list([{"prompt": "-"}] * size.rows),
        )
        self.trainer.current_gradient_accumulation_steps = size.rows // self.rows  # what TRL's training loop sets
        if size.checkpointing:
            self.trainer.model.activation_checkpointing_enable()
        self.trainer.model.train()

    def _config(self, size: Size, folder: Path) -> GRPOConfig:
        return GRPOConfig(
            output_dir=str(folder),
            use_cpu=not torch.cuda.is_available(),
            bf16=size.bf16,
            activation_checkpointing=size.checkpointing,
            per_device_train_batch_size=self.rows,
            gradient_accumulation_steps=size.rows // self.rows,
            num_generations=size.group,
            max_completion_length=size.completion[1],
            beta=0.0,
            epsilon=10.0,  # nothing is clipped: every token has its gradient
            report_to="none",
            save_strategy="no",
        )

    @property
    def model(self) -> Any:
        return self.trainer.model

    def slices(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The batch in parts of `rows`; padding stays, as in TRL."""
        starts = range(0, len(batch["prompt_ids"]), self.rows)
        return [
            {
                key: value[start : start + self.rows] if isinstance(value, Tensor) and value.dim() else value
                for key, value in batch.items()
            }
            for start in starts
        ]

    def update(self, batch: dict[str, Any], progress: Callable[[str], None]) -> float:
        """Forward and backward pass of all rows through the trainer's own loss; gradients are left in the model."""
        total = 0.0
        parts = self.slices(batch)
        for done, part in enumerate(parts, start=1):
            if len(parts) > 1:
                progress(f"  pass {done} of {len(parts)}")
            loss = self.trainer.compute_loss(self.model, part)
            loss.backward()
            total += float(loss.detach())
        return total


def no_reward(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
    """Nothing is rewarded: advantages are given."""
    return [0.0] * len(completion_ids)
