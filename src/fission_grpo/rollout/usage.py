"""Token accounting: what comparisons under an equal budget are measured in."""

from collections.abc import Iterable
from dataclasses import dataclass

from fission_grpo.types import Trajectory


@dataclass(frozen=True)
class Usage:
    """Tokens that a policy processed: read and written."""

    prefill_tokens: int = 0
    sampled_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prefill_tokens + other.prefill_tokens, self.sampled_tokens + other.sampled_tokens)


def usage_of(trajectories: Iterable[Trajectory]) -> Usage:
    """Sums over trajectories. Each token of an episode counts once, and in every sibling, however a cache saves work.

    So the figure says what a method asks for, not how well an engine of generation serves it.
    """
    usage = Usage()
    for trajectory in trajectories:
        held = 0
        for step in trajectory.steps:
            usage += Usage(max(0, len(step.prompt_ids) - held), len(step.completion.ids))
            held = len(step.prompt_ids) + len(step.completion.ids)
    return usage
