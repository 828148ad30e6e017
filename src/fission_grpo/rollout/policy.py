"""The Policy protocol: token ids in, token ids out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fission_grpo.types import Completion


@dataclass(frozen=True)
class Sampling:
    """How to sample one assistant message.

    Attributes:
        temperature: 0 is greedy. Metrics are defined at 1.0: greedy decoding hides recovery.
        max_new_tokens: limit of one message.
        seed: seeds the sampler for this call; None draws from the generator's current state.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 128
    seed: int | None = None

    def of_round(self, index: int) -> "Sampling":
        """The sampling of one of several rounds: the same seed twice would give every round the same random numbers."""
        return self if self.seed is None else replace(self, seed=random.Random(f"{self.seed}/{index}").getrandbits(63))


class Policy(Protocol):
    """Anything that continues token sequences. Prompts of any lengths; completions come back in the order of the prompts."""

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]: ...
