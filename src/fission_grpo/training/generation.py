"""Sampling inside a training step: with our own `TransformersPolicy`, or with vLLM where it serves the policy.

Ours computes a group's prompt once and drops finished rows, which `generate` does not: on a CPU that is most of the time.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.training.vllm_policy import VLLMPolicy
from fission_grpo.types import Completion


def policy_of(trainer: Any) -> TransformersPolicy:
    """The trainer's present policy. One object for a whole run: it remembers how many rows there is memory for."""
    trainer.policy.model = trainer.accelerator.unwrap_model(trainer.model)
    return trainer.policy


@contextmanager
def rollout_policy(trainer: Any) -> Generator[Policy]:
    """What a `rollout_func` samples with, for as many rounds as this process needs. Every process enters and leaves it."""
    if not trainer.use_vllm:
        yield policy_of(trainer)
        return
    idle_prompt = [trainer.processing_class.eos_token_id]
    policy = VLLMPolicy(trainer.vllm_generation, trainer.accelerator, trainer.chat.end_ids, idle_prompt)
    yield policy
    policy.finish()


def sampling_of(trainer: Any) -> Sampling:
    """The trainer's sampling settings, with a seed of the batch at hand.

    It is reproducible after a resume, and differs between ranks, the halves of a mixed batch and rounds of resampling.
    """
    args = trainer.args
    half = 0 if trainer.batch.contexts is None else 1
    seed = ((args.seed * 1_000_003 + trainer.state.global_step) * 2 + half) * 4096 + trainer.accelerator.process_index
    sampling = Sampling(
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k or 0,
        max_new_tokens=args.max_completion_length,
        seed=seed,
    )
    return sampling.of_round(trainer.batch.round) if trainer.batch.round else sampling


def generate_messages(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """A `rollout_func` of TRL that samples one message a row."""
    prompt_ids, _, _ = trainer._tokenize_prompts(prompts)
    with rollout_policy(trainer) as policy:
        return message_output(prompt_ids, policy.generate(prompt_ids, sampling_of(trainer)))


def message_output(prompt_ids: Sequence[Sequence[int]], completions: Sequence[Completion]) -> dict[str, Any]:
    """Single messages as TRL wants them from a `rollout_func`; all their tokens are the policy's."""
    return {
        "prompt_ids": [list(ids) for ids in prompt_ids],
        "completion_ids": [list(completion.ids) for completion in completions],
        "logprobs": [list(completion.logprobs) for completion in completions],
        "env_mask": [[1] * len(completion.ids) for completion in completions],
    }
