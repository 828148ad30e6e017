# pyright: reportPrivateUsage=false
# The benchmark calls what TRL's trainer samples with.
"""Time of sampling: TRL's path through `generate`, and our decoding loop, on the same prompts."""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from fission_grpo.chat.template import ChatFormat
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from trainer_speed.machine import now
from trainer_speed.rows import sample
from trainer_speed.sizes import SEED, Size, load
from trainer_speed.variants import TRL, Variant

THEIRS, OURS = "TRL, `generate`", "`TransformersPolicy`"


@dataclass
class Sampled:
    """Seconds, and tokens sampled, one a repetition."""

    seconds: list[float] = field(default_factory=list[float])
    tokens: list[int] = field(default_factory=list[int])


def measure_rollout(size: Size, repetitions: int, progress: Callable[[str], None]) -> dict[str, Sampled]:
    """Both ways once a repetition, in turns that change their order; random numbers differ, so lengths do too."""
    model, tokenizer = load(size)
    found: dict[str, Sampled] = defaultdict(Sampled)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Variant(TRL, size, model, tokenizer, Path(folder)).trainer
    policy = TransformersPolicy(trainer.model, tokenizer.pad_token_id, ChatFormat(tokenizer).end_ids)
    prompts = sample(size, trainer.model, tokenizer).prompts

    def theirs(seed: int) -> int:
        torch.manual_seed(seed)
        completions, _ = trainer._generate_single_turn(prompts, None, {}, size.group)
        return sum(map(len, completions))

    def ours(seed: int) -> int:
        sampling = Sampling(max_new_tokens=size.completion[1], seed=seed)
        return sum(len(completion.ids) for completion in policy.generate(prompts, sampling))

    ways = [(THEIRS, theirs), (OURS, ours)]
    for repetition in range(repetitions):
        for name, way in ways if repetition % 2 == 0 else reversed(ways):
            progress(f"{name}, round {repetition + 1}")
            started = now(trainer.model.device)
            found[name].tokens.append(way(SEED + repetition))
            found[name].seconds.append(now(trainer.model.device) - started)
    return dict(found)
