"""A group's rewards as advantages, by TRL's rule, for methods that normalise something else than its groups."""

import math
from collections.abc import Sequence

EPSILON = 1e-4
"""Added to the standard deviation, as TRL does."""


def normalised(rewards: Sequence[float | None]) -> list[float]:
    """Mean 0 and the sample's standard deviation 1 over the rewards (N,) that are known; 0 for the others.

    >>> [round(advantage, 3) for advantage in normalised([1.0, None, 0.0])]
    [0.707, 0.0, -0.707]
    """
    known = [reward for reward in rewards if reward is not None]
    if not known:
        return [0.0] * len(rewards)
    mean = sum(known) / len(known)
    variance = sum((reward - mean) ** 2 for reward in known) / max(1, len(known) - 1)
    scale = math.sqrt(variance) + EPSILON
    return [0.0 if reward is None else (reward - mean) / scale for reward in rewards]
