"""The rows that all variants compute: the same prompts, completions and advantages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import pad

from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.training.step import StepTasks
from trainer_speed.sizes import SEED, Size

Ids = list[int]


@dataclass(frozen=True)
class Sampled:
    """Rows before they are padded, group by group.

    Attributes:
        log_probs: of the completions under the policy that sampled them. Without them the ratio of old and new policy is one
            whatever the model says, and the loss would show no error.
    """

    prompts: list[Ids]
    completions: list[Ids]
    log_probs: list[list[float]]
    pad_id: int

    def batch(self, device: torch.device) -> dict[str, Any]:
        """As TRL hands a generation batch to its loss. No advantage is zero: every row has to be computed."""
        prompts, completions = self.prompts, self.completions
        advantages = torch.tensor([-1.0, 1.5]).repeat(len(prompts))[: len(prompts)]
        return {
            "prompt_ids": _padded(prompts, self.pad_id, "left").to(device),
            "prompt_mask": _padded([[1] * len(ids) for ids in prompts], 0, "left").to(device),
            "completion_ids": _padded(completions, self.pad_id, "right").to(device),
            "completion_mask": _padded([[1] * len(ids) for ids in completions], 0, "right").to(device),
            "old_per_token_logps": _padded(self.log_probs, 0, "right").to(device),
            "advantages": advantages.to(device),
            "num_items_in_batch": torch.tensor(sum(map(len, completions)), device=device),
        }


def sample(size: Size, model: Any, tokenizer: Any) -> Sampled:
    """Rows of a size: random ones, or what the policy answers at step instances."""
    generator = torch.Generator().manual_seed(SEED)
    if not size.prompt:
        prompts = _step_prompts(size, tokenizer)
        policy = TransformersPolicy(model, tokenizer.pad_token_id, ChatFormat(tokenizer).end_ids)
        sampled = policy.generate(prompts, Sampling(max_new_tokens=size.completion[1], seed=SEED))
        log_probs = [list(each.logprobs) for each in sampled]
        return Sampled(prompts, [list(each.ids) for each in sampled], log_probs, tokenizer.pad_token_id)

    def tokens(count: int) -> Ids:
        return torch.randint(1000, (count,), generator=generator).tolist()

    low, high = size.completion
    lengths = torch.linspace(low, high, size.group).round().int().tolist() * size.prompts
    prompts = [prompt for _ in range(size.prompts) for prompt in [tokens(size.prompt)] * size.group]
    uniform = -math.log(model.config.vocab_size)  # about what a model of random weights gives every token
    log_probs = [[uniform] * length for length in lengths]
    return Sampled(prompts, [tokens(length) for length in lengths], log_probs, tokenizer.pad_token_id)


def step_tasks(tokenizer: Any, tasks: int, longest: int) -> StepTasks:
    """Step instances as the quickstart has them."""
    made = generate_tasks(tasks, SEED, BFCLEnvironment(), mix=Mix.COMPACT)
    return StepTasks(made, BFCLEnvironment, ChatFormat(tokenizer), CompositeReward(), longest)


def _step_prompts(size: Size, tokenizer: Any) -> list[Ids]:
    steps, chat = step_tasks(tokenizer, 2 * size.prompts, 2048), ChatFormat(tokenizer)
    chosen = torch.randperm(len(steps.instances), generator=torch.Generator().manual_seed(SEED))[: size.prompts]
    instances = [steps.instances[index] for index in chosen.tolist()]
    rendered = [list(chat.render(instance.messages, instance.tools)) for instance in instances]
    return [prompt for prompt in rendered for _ in range(size.group)]


def _padded(rows: Sequence[Sequence[float]], value: int, side: str) -> Tensor:
    return pad([torch.tensor(row) for row in rows], padding_value=value, padding_side=side)
