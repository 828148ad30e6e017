"""A method's advantages on their way into TRL's batch, and the signal filter on the way out of a group."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fission_grpo.training.methods.base import Advantage, Method, Scores
from fission_grpo.training.rollouts import Rollout


def group_advantages(
    method: Method, scores: Sequence[Scores], group_size: int, *, recovery: bool, update: int
) -> list[Advantage] | None:
    """The advantages of all rows (N,), group by group; None where the method leaves them to TRL."""
    starts = range(0, len(scores), group_size)
    groups = [method.advantages(scores[start : start + group_size], recovery=recovery, update=update) for start in starts]
    return None if any(group is None for group in groups) else [each for group in groups if group for each in group]


def as_tensor(advantages: Sequence[Advantage], rollouts: Sequence[Rollout], width: int) -> Tensor:
    """Advantages as TRL's loss takes them: (B,), or (B, T) where a rollout has one for each of its messages.

    Args:
        width: T, columns of the padded completions.
    """
    if all(isinstance(each, float | int) for each in advantages):
        return torch.tensor(advantages, dtype=torch.float32)
    spread = torch.zeros(len(rollouts), width)
    for row, (advantage, rollout) in enumerate(zip(advantages, rollouts, strict=True)):
        spans = rollout.spans
        values = [advantage] * len(spans) if isinstance(advantage, float | int) else advantage
        for (start, stop), value in zip(spans, values, strict=True):
            spread[row, start:stop] = value
    return spread


def of_rollouts(advantages: Tensor, rollouts: Sequence[Rollout]) -> list[Advantage]:
    """What the loss will use of every rollout, as it is logged: the tensor of `as_tensor`, back again."""
    if advantages.dim() == 1:
        return [float(value) for value in advantages]
    return [[float(row[start]) for start, _ in rollout.spans] for row, rollout in zip(advantages, rollouts, strict=True)]


def zeroed(advantages: Tensor, kept: Sequence[bool]) -> Tensor:
    """The advantages with the rows that are not kept at zero."""
    mask = torch.tensor(kept, device=advantages.device)
    return advantages * (mask if advantages.dim() == 1 else mask.unsqueeze(1))
