"""NGRPO: all-failed groups learn too, and clipping is asymmetric (Nan et al. 2025, arXiv 2509.18851).

*Advantage calibration*: mean and standard deviation of a group are taken over its G rewards and one virtual reward, the best
that can be had. Where all failed, every advantage is negative instead of zero. *Asymmetric clipping* (TRL's, the ranges of
the paper): wider above for rollouts that are reinforced, narrower below for those that are not.

Deviations: the standard deviation is the population's, over G + 1 rewards; the "best reward" of our shaped reward is its
maximum at that update. A group in which every rollout reached the best has no variance and no signal, as in GRPO.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.training.methods.base import Advantage, Method, Scores
from fission_grpo.training.methods.normalisation import EPSILON


class NGRPO(Method):
    """Groups measured against a virtual best.

    Args:
        best_reward: the best reward that can be had at an update.
    """

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"epsilon": 0.16, "epsilon_high": 0.24})

    def __init__(self, best_reward: Callable[[int], float]) -> None:
        self._best_reward = best_reward

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage]:
        return calibrated([score.reward for score in group], self._best_reward(update))


def calibrated(rewards: Sequence[float | None], best: float) -> list[float]:
    """Advantages (G,) against the mean and deviation of the rewards and `best`; rewards that are None get 0.

    >>> [round(advantage, 3) for advantage in calibrated([0.0, 0.0, 0.0], best=1.0)]
    [-0.577, -0.577, -0.577]
    """
    scored = [reward for reward in rewards if reward is not None]
    mean = (sum(scored) + best) / (len(scored) + 1)
    variance = (sum((reward - mean) ** 2 for reward in scored) + (best - mean) ** 2) / (len(scored) + 1)
    scale = math.sqrt(variance) + EPSILON
    return [0.0 if reward is None else (reward - mean) / scale for reward in rewards]
