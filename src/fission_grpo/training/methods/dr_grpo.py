"""Dr. GRPO: no division by a group's standard deviation, none by a completion's length (Liu et al. 2025, arXiv 2503.20783).

Both are TRL's: `loss_type: dr_grpo` divides by the constant `max_completion_length` instead.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.training.methods.base import Method


class DrGRPO(Method):
    """GRPO without its two biases. No deviation from the paper."""

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"loss_type": "dr_grpo", "scale_rewards": "none"})
