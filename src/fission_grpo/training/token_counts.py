"""Tokens that an update processes: sampled, read and trained (docs/method.md, section 8.2)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fission_grpo.training.rollouts import Rollout


def prefilled_tokens(rollouts: Sequence[Rollout]) -> int:
    """Tokens that sampling reads without writing them. Siblings share their prompt, which every engine reads once."""
    prompts = {rollout.prompt_ids for rollout in rollouts}
    between = sum(rollout.tokens - len(rollout.prompt_ids) - rollout.sampled_tokens for rollout in rollouts)
    return sum(map(len, prompts)) + between


def loss_tokens(output: dict[str, Any]) -> Tensor:
    """Tokens that the loss is divided by, as TRL counts them (its `num_items_in_batch`)."""
    mask = output["completion_mask"]
    return (mask * output["tool_mask"] if "tool_mask" in output else mask).sum()
