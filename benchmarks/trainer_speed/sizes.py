"""Shapes of an update by name, and models of these shapes."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config

from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.training.terminal import quieten

BUNDLED = "bundled"
SEED = 0

CONFIGS: dict[str, PreTrainedConfig] = {
    "smollm2": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    "qwen3-0.6b": Qwen3Config(
        vocab_size=151_936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    ),
}
"""Models that are initialised at random: what their weights are makes no difference to the time."""


@dataclass(frozen=True)
class Size:
    """What one update computes.

    Attributes:
        model: the bundled policy, or a key of `CONFIGS`.
        prompts: groups; with `prompt` 0 their prompts are step instances of generated tasks, otherwise random tokens.
        prompt: tokens.
        completion: tokens, lowest and highest.
        group: G, rows of a prompt.
        padded_rows, packed_groups: of one forward and backward pass; the update accumulates gradients over them.
        bf16: mixed precision; float32 otherwise.
        checkpointing: activations are computed again in the backward pass.
        needs_gpu: it would take hours on a CPU.
    """

    model: str
    prompts: int
    prompt: int
    completion: tuple[int, int]
    group: int
    padded_rows: int
    packed_groups: int
    bf16: bool = False
    checkpointing: bool = False
    needs_gpu: bool = False

    @property
    def rows(self) -> int:
        return self.prompts * self.group


PRESETS = {
    # The quickstart's update: 128 rows of real prompts, in its slices.
    "bundled": Size(BUNDLED, 16, 0, (1, 96), 8, padded_rows=32, packed_groups=4),
    # Where nothing can be shared, and where it just begins to pay, nothing may be lost.
    "short": Size(BUNDLED, 64, 24, (24, 24), 2, padded_rows=128, packed_groups=64),
    "pair": Size(BUNDLED, 64, 48, (8, 24), 2, padded_rows=128, packed_groups=64),
    # Eight padded rows at once would take 30 GB.
    "smollm2": Size("smollm2", 1, 2048, (128, 128), 8, padded_rows=2, packed_groups=1),
    "qwen3-0.6b": Size(
        "qwen3-0.6b", 1, 6144, (128, 512), 8, padded_rows=8, packed_groups=1, bf16=True, checkpointing=True, needs_gpu=True
    ),
}


def load(size: Size) -> tuple[Any, Any]:
    """Model and tokenizer; the tokenizer of random models is the bundled one, which nothing depends on."""
    quieten()  # in the processes that measure memory too
    bundled, tokenizer = load_policy_model(BUNDLED)
    if size.model == BUNDLED:
        return bundled, tokenizer
    torch.manual_seed(SEED)
    return AutoModelForCausalLM.from_config(CONFIGS[size.model], dtype=torch.float32), tokenizer
