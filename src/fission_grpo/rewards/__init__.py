"""Rewards (docs/method.md, section 3): one term a file, their schedule, and the composite that training uses."""

from fission_grpo.rewards.base import Reward, ScoredStep
from fission_grpo.rewards.composite import CompositeReward, RewardBreakdown, RewardSettings

__all__ = ["CompositeReward", "Reward", "RewardBreakdown", "RewardSettings", "ScoredStep"]
