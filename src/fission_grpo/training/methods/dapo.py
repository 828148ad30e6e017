"""DAPO: clip higher, dynamic sampling, token-level loss, no loss from truncated rollouts (Yu et al. 2025, arXiv 2503.14476).

Clipping, loss and truncation are TRL's. Dynamic sampling is the trainer's (`resampling_rounds`): groups whose outcomes all
agree are replaced by groups of further prompts, until the batch is full or the rounds are over.

Deviations: the further prompts are drawn from the data set at random, from a seed of the update, not from the epoch's order;
three rounds at most, then groups without signal fill the batch; truncated rollouts are left out of the loss (the paper's
overlong *filtering*) instead of getting its soft penalty.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.training.methods.base import Method


class DAPO(Method):
    """The paper's clipping range; rounds are bounded [ours]."""

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28, "mask_truncated_completions": True}
    )
    resampling_rounds: ClassVar[int] = 3
