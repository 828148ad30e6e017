"""R_len: is the message about as long as the reference?"""

import math
from dataclasses import dataclass

from fission_grpo.rewards.base import ScoredStep


@dataclass(frozen=True)
class LengthReward:
    """R_len with its settings, both in multiples of the reference length.

    Attributes:
        band: lowest and highest length that score 1.
        sigma: width of the Gaussian fall-off outside the band.
    """

    band: tuple[float, float] = (0.5, 1.5)
    sigma: float = 0.5

    def __call__(self, step: ScoredStep, training_step: int) -> float:
        return length_score(step.completion_length, step.reference_length, self.band, self.sigma)


def length_score(length: int, reference_length: int | None, band: tuple[float, float], sigma: float) -> float:
    """R_len in [0, 1]; lengths in tokens. 1 where there is no reference length.

    >>> length_score(25, 20, (0.5, 1.5), 0.5)
    1.0
    >>> round(length_score(40, 20, (0.5, 1.5), 0.5), 3)  # one sigma beyond the band
    0.607
    >>> round(length_score(0, 20, (0.5, 1.5), 0.5), 3)
    0.607
    >>> length_score(400, None, (0.5, 1.5), 0.5)
    1.0
    """
    if reference_length is None:
        return 1.0
    ratio = length / max(reference_length, 1)
    low, high = band
    distance = max(low - ratio, ratio - high, 0.0)
    return math.exp(-0.5 * (distance / sigma) ** 2)
