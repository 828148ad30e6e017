"""Reflect and retry: the policy writes down what went wrong, tries again, and makes the success its own.

The loop of Experiential Reinforcement Learning (Shi et al. 2026, arXiv 2602.13949), and of "Reflect, Retry, Reward" (Bensal
et al. 2025, arXiv 2505.24726): first attempt, feedback, reflection, second attempt. Here it takes the place of a recovery
group. Of its G' rows

    even rows   x, the failed message, its feedback, "reflect" -> reflection, "try again", second attempt
    odd rows    x -> the second attempt of the row before

Even rows are reinforced: their rewards, which judge the second attempt alone, are normalised among themselves; reflection
and second attempt are trained alike. Odd rows internalise: advantage 1 where the second attempt succeeded, 0 elsewhere. That
is the gradient of the log-likelihood of a successful attempt at x, where nobody reflects.

Deviations: no memory of reflections across episodes; the failures stem from earlier updates, like every context of the pool,
and not from this one's first attempts; every context of the pool is reflected on, where ERL gates by a reward threshold;
"Reflect, Retry, Reward" trains the reflection alone; a reflection has `REFLECTION_TOKENS` at most [ours]; step granularity
only. Where `signal_filter: outcome` finds no signal in a group, its odd rows are dropped too.

Limit: the distilled tokens were sampled behind the reflection and count as on-policy at x. Under vLLM, TRL would correct by
log-probabilities that are none of x: refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.errors import UserError
from fission_grpo.fission import RecoveryContext
from fission_grpo.fission.context import feedback_messages
from fission_grpo.training.generation import policy_of, sampling_of
from fission_grpo.training.methods.base import Advantage, Generate, Method, Scores
from fission_grpo.training.methods.normalisation import normalised
from fission_grpo.training.rollouts import ANSWER_COLUMN
from fission_grpo.types import Completion, CorrectiveContext, Message

REFLECTION_TOKENS = 48
REFLECT = "In one sentence: what went wrong, and what has to be done differently?"
RETRY = "Now try again."


class Reflection(Method):
    """Recovery groups of reflect-and-retry rows and their distillation."""

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"use_vllm": False})

    def begin(self, trainer: Any) -> None:
        settings, ranks = trainer.engine.settings, trainer.accelerator.num_processes
        rows = round(settings.recovery_fraction * trainer.args.generation_batch_size)
        if settings.recovery_generations % 2 or settings.recovery_generations < 4:
            raise UserError(f"recovery_generations: {settings.recovery_generations} found, even numbers from 4 are allowed")
        if rows % (2 * ranks):
            raise UserError(f"recovery_fraction: gives {rows} rows to {ranks} processes, each needs an even number of them")
        if settings.recovery_context is RecoveryContext.PROMPT:
            raise UserError("recovery_context: prompt found, allowed: feedback, shuffled, attempt")

    def generate(self, prompts: list[Any], trainer: Any, sample: Generate) -> dict[str, Any]:
        batch = trainer.batch
        if batch.contexts is None:
            return sample(prompts, trainer)
        contexts: list[CorrectiveContext] = batch.contexts[::2]
        asked = [request(context, trainer) for context in contexts]
        policy, sampling = policy_of(trainer), sampling_of(trainer)
        short = replace(sampling.of_round(0), max_new_tokens=min(REFLECTION_TOKENS, sampling.max_new_tokens))
        reflections = policy.generate(asked, short)
        again = [
            trainer.chat.extend([*ids, *reflection.ids], [{"role": "user", "content": RETRY}])
            for ids, reflection in zip(asked, reflections, strict=True)
        ]
        answers = policy.generate(again, sampling.of_round(1))
        output = _paired(contexts, asked, reflections, again, answers)
        batch.prompt_ids, batch.answers = output["prompt_ids"], output[ANSWER_COLUMN]
        batch.copied = [False, True] * len(contexts)
        return output

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage] | None:
        if not recovery:
            return None
        reinforced = normalised([score.reward for score in group[::2]])
        distilled = [float(score.outcome and score.reward is not None) for score in group[1::2]]
        return [advantage for pair in zip(reinforced, distilled, strict=True) for advantage in pair]


def request(context: CorrectiveContext, trainer: Any) -> list[int]:
    """The ids of `context` with the request to reflect behind its feedback, up to where the assistant writes."""
    failure = context.failure
    attempt_only = trainer.engine.settings.recovery_context is RecoveryContext.ATTEMPT
    feedback = [] if attempt_only else feedback_messages(failure, context.feedback)
    # The context ends where the assistant writes, so what follows the failed message is rendered again, with the request.
    told = len(trainer.chat.extend(failure.completion_ids, feedback))
    x = context.prompt_ids[: len(context.prompt_ids) - told]
    return [*x, *trainer.chat.extend(failure.completion_ids, _with_request(feedback))]


def _with_request(feedback: list[Message]) -> list[Message]:
    """One user message and not two: some chat templates insist on alternating roles."""
    if feedback and feedback[-1]["role"] == "user":
        return [*feedback[:-1], {"role": "user", "content": f"{feedback[-1]['content']}\n{REFLECT}"}]
    return [*feedback, {"role": "user", "content": REFLECT}]


def _paired(
    contexts: Sequence[CorrectiveContext],
    asked: Sequence[list[int]],
    reflections: Sequence[Completion],
    again: Sequence[list[int]],
    answers: Sequence[Completion],
) -> dict[str, Any]:
    """Both rows of every second attempt, as TRL wants them."""
    output: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "logprobs": [], "env_mask": [], ANSWER_COLUMN: []}
    for context, prompt, reflection, retry, answer in zip(contexts, asked, reflections, again, answers, strict=True):
        between = retry[len(prompt) + len(reflection.ids) :]
        output["prompt_ids"] += [prompt, list(context.failure.prompt_ids)]
        output["completion_ids"] += [[*reflection.ids, *between, *answer.ids], list(answer.ids)]
        output["logprobs"] += [
            [*reflection.logprobs, *[0.0] * len(between), *answer.logprobs],
            list(answer.logprobs),
        ]
        output["env_mask"] += [[1] * len(reflection.ids) + [0] * len(between) + [1] * len(answer.ids), [1] * len(answer.ids)]
        output[ANSWER_COLUMN] += [list(answer.ids), list(answer.ids)]
    return output
