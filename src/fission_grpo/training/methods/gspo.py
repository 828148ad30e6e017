"""GSPO: importance ratios and clipping of whole sequences (Zheng et al. 2025, arXiv 2507.18071). The loss is TRL's.

With one update a generation, as in this project's recipes, every ratio is 1: then it differs from GRPO in its normalisation
within each completion alone. `trainer.steps_per_generation` above `trainer.gradient_accumulation_steps` makes it bite.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.training.methods.base import Method


class GSPO(Method):
    """Sequence-level ratios with the paper's clipping range."""

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"importance_sampling_level": "sequence", "loss_type": "grpo", "epsilon": 3e-4, "epsilon_high": 4e-4}
    )
