"""SFT on self-corrections: the policy imitates its own recoveries that were right, and nothing else.

The baseline of "Training Language Models to Self-Correct via RL" (Kumar et al. 2024, arXiv 2409.12917, section 4), in the
form of rejection sampling: at the sampled point the gradient of GRPO's loss with advantage 1 is that of the log-likelihood.

Deviation: the corrections are sampled anew by the policy of each update and weigh as the group succeeds; the baseline there
is a fixed data set. Exploration only supplies the failures.
"""

from collections.abc import Sequence

from fission_grpo.training.methods.base import Advantage, Method, Scores


class SelfCorrection(Method):
    """Advantage 1 for a right recovery, 0 for everything else."""

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage]:
        return [float(recovery and score.outcome and score.reward is not None) for score in group]
