"""GRPO: groups of rollouts of one prompt, each scored against the others (Shao et al. 2024, arXiv 2402.03300)."""

from fission_grpo.training.methods.base import Method


class GRPO(Method):
    """The base class as it is. See `Method` on the normalisation of its loss."""
