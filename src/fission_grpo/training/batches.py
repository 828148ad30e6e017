"""Pieces of a mixed generation batch: the order of rows, which of them explore, and two generated halves made one again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import RepeatSampler, pad, split_tensor_dict

Row = dict[str, Any]

_PROMPT_KEYS = frozenset({"prompt_ids", "prompt_mask"})


class ExplorationQueue:
    """Prompts that a recovery batch displaced, served first next time (docs/method.md, section 2, batches).

    Rows come in groups of G equal rows; one of each group is kept.
    """

    def __init__(self, group_size: int) -> None:
        self._group_size = group_size
        self.waiting: list[Row] = []

    def __len__(self) -> int:
        return len(self.waiting)

    def exchange(self, rows: Sequence[Row], wanted: int) -> list[Row]:
        """Takes in the sampler's `rows` and gives out `wanted` rows, oldest prompts first, in whole groups.

        >>> queue = ExplorationQueue(group_size=2)
        >>> [row["x"] for row in queue.exchange([{"x": 1}, {"x": 1}, {"x": 2}, {"x": 2}], wanted=2)]
        [1, 1]
        >>> [row["x"] for row in queue.exchange([{"x": 3}, {"x": 3}], wanted=2)]
        [2, 2]
        """
        self.waiting += rows[:: self._group_size]
        groups = wanted // self._group_size
        served, self.waiting = self.waiting[:groups], self.waiting[groups:]
        # One dict a row: TRL writes each rollout's own results into it.
        return [dict(row) for row in served for _ in range(self._group_size)]


class EpochSampler(RepeatSampler):
    """TRL's order, drawn anew from (seed, epoch): a resumed run must not need the earlier epochs' draws."""

    def __init__(self, sampler: RepeatSampler, seed: int) -> None:
        self.__dict__.update(sampler.__dict__)
        self._seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop at the start of every epoch."""
        if self.shuffle:
            self.generator.manual_seed(self._seed + epoch)


def merge_outputs(outputs: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Makes one batch of several that TRL generated apart: re-padded, concatenated, token counts summed.

    Prompts (B, P) are padded on the left, everything along completions (B, T) on the right, (B,) is concatenated, scalars
    (`num_items_in_batch`) are summed.
    """
    if len(outputs) == 1:
        return outputs[0]
    return {key: _merge(key, [output[key] for output in outputs], pad_token_id) for key in outputs[0]}


def pick_rows(output: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """The batch made of some of its rows, in that order. What is no tensor of rows stays as it is."""
    return {key: value[list(rows)] if _holds_rows(value) else value for key, value in output.items()}


def _holds_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0


def regrouped(slices: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows in the same number of slices, but rows of one prompt side by side: what they share is computed once.

    TRL shuffles rows before it slices them; groups keep the order in which they first come. Images stay where they are,
    which TRL holds by row and by tile.
    """
    if len(slices) == 1 or "pixel_values" in slices[0]:
        return list(slices)
    whole = {
        key: torch.cat([each[key] for each in slices]) if _holds_rows(value) else value for key, value in slices[0].items()
    }
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(whole["prompt_ids"].tolist()):
        groups.setdefault(tuple(prompt), []).append(row)
    return split_tensor_dict(pick_rows(whole, [row for group in groups.values() for row in group]), len(slices))


def with_advantage(inputs: dict[str, Any]) -> Tensor:
    """Which rows have an advantage at any of their tokens (B,)."""
    advantages = inputs["advantages"] != 0
    return advantages if advantages.dim() == 1 else advantages.any(dim=1)


def rows_with_advantage(inputs: dict[str, Any], at_least: int = 1) -> dict[str, Any]:
    """Leaves out rows of zero advantage, but for the first of them where fewer than `at_least` rows would stay."""
    kept = with_advantage(inputs)
    kept[(~kept).nonzero().flatten()[: max(0, at_least - int(kept.sum()))]] = True
    return inputs if bool(kept.all()) else pick_rows(inputs, kept.nonzero().flatten().tolist())


def _merge(key: str, values: Sequence[Tensor], pad_token_id: int) -> Tensor:
    if values[0].dim() == 0:
        return torch.stack(list(values)).sum()
    if values[0].dim() == 1:
        return torch.cat(list(values))
    padding = pad_token_id if key.endswith("_ids") else 1 if key == "tool_mask" else 0
    side = "left" if key in _PROMPT_KEYS else "right"
    return pad([row for value in values for row in value], padding_value=padding, padding_side=side)
