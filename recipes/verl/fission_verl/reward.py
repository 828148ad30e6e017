"""The composite reward (docs/method.md, section 3) as verl's `custom_reward_function`, of explorations and recoveries."""

import json
from typing import Any

from omegaconf import OmegaConf

from fission_grpo.chat.parsing import parse_message
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.composite import CompositeReward, RewardSettings
from fission_grpo.tasks.rows import reference_of


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **settings: Any
) -> dict[str, float]:
    """R of one message, its terms, and the binary outcome as `acc`, which verl averages in validation.

    Args:
        data_source, solution_str: unused; the text is `extra_info["text"]`, which `agent_loop.py` decoded with its tags.
        ground_truth: the reference calls as JSON text.
        extra_info: the row's, with what dataset and agent loop added.
        settings: fields of `RewardSettings` (`reward.custom_reward_function.reward_kwargs`).
    """
    parsed = parse_message(extra_info["text"])
    step = ScoredStep(
        text=parsed.content,
        calls=parsed.calls,
        format_error=parsed.error,
        completion_length=extra_info["tokens"],
        reference=reference_of({"reference": ground_truth}) or (),
        reference_length=extra_info["reference_tokens"],
        tools=tuple(json.loads(extra_info["tools"])),
    )
    chosen = OmegaConf.to_container(OmegaConf.create(settings))
    scored = CompositeReward(RewardSettings(**chosen)).score(step, extra_info["update"])
    terms = {"format": scored.format, "correctness": scored.correctness, "length": scored.length}
    return {"score": scored.total, "acc": float(scored.outcome), **terms}
