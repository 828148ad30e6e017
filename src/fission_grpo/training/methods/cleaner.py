"""CLEANER: a failed call that the policy itself repairs is replaced before the update (Xu et al. 2026, arXiv 2601.15141).

GRPO then trains on the trajectory in which the mistake was never made. What replaces what is in `rollout/purifying.py`: up
to three retries, the failed message's own words kept where the calls are alike, the environment's state rolled back.

In episodes the retries are the messages that follow an error anyway. At step granularity nothing follows: there every
message that errs when it is executed is answered with the environment's words, and sampled again in that context, up to
three times.

Deviations: the similarity is that of the calls without their tags, as ours are short; a repair is a message whose calls all
succeed, whatever they do; retries at step granularity are independent of each other, where the paper chains them; errors of
every kind are repaired, where the published code has a list of them.

Limit: the repaired tokens were sampled in the context of the error and are trained without it. Log-probabilities are
recomputed at the start of the update, so their ratio is 1: they count as on-policy, though they are not. Under vLLM, TRL
would correct by the log-probabilities of that other context: refused.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.chat.parsing import parse_message
from fission_grpo.rollout.episode import Episode
from fission_grpo.rollout.purifying import RETRIES, PurifyingEpisode, merged
from fission_grpo.training.generation import policy_of, sampling_of
from fission_grpo.training.methods.base import Generate, Method
from fission_grpo.types import Completion, Message, StopReason, Trajectory

ErrorFn = Callable[[Mapping[str, Any], str], list[Message]]
"""What the environment answers a row's message that errs; nothing where it does not err."""


class Cleaner(Method):
    """GRPO on purified rollouts.

    Args:
        error: of single messages (`StepTasks.error`); None where episodes purify themselves.
    """

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({"use_vllm": False})
    episode_type: ClassVar[type[Episode]] = PurifyingEpisode

    def __init__(self, error: ErrorFn | None = None) -> None:
        self._error = error

    def generate(self, prompts: list[Any], trainer: Any, sample: Generate) -> dict[str, Any]:
        output = sample(prompts, trainer)
        if self._error is None:
            _count_taken_back(trainer.batch.trajectories or (), trainer)
            return output
        return self._repaired(output, self._error, trainer)

    def _repaired(self, output: dict[str, Any], error: ErrorFn, trainer: Any) -> dict[str, Any]:
        """Single messages with those replaced that a retry repairs."""
        rows, chat = trainer.batch.rows, trainer.chat
        texts = [chat.decode(ids) for ids in output["completion_ids"]]
        contexts = _retry_contexts(output, [error(row, text) for row, text in zip(rows, texts, strict=True)], trainer)
        policy, sampling = policy_of(trainer), sampling_of(trainer)
        for round_index in range(RETRIES if contexts else 0):
            retries = policy.generate(list(contexts.values()), sampling.of_round(round_index))
            trainer.count("tokens/exploration_prefill", sum(map(len, set(contexts.values()))))
            trainer.count("tokens/exploration_sampled", sum(len(retry.ids) for retry in retries))
            for index, retry in zip(list(contexts), retries, strict=True):
                text = chat.decode(retry.ids)
                if parse_message(text).calls and not error(rows[index], text):
                    _replace(output, index, retry, trainer)
                    del contexts[index]
            if not contexts:
                break
        return output


def _retry_contexts(output: dict[str, Any], errors: Sequence[list[Message]], trainer: Any) -> dict[int, tuple[int, ...]]:
    """[x; the failed message; its error] of every row that erred and has room for another try."""
    contexts: dict[int, tuple[int, ...]] = {}
    for index, error in enumerate(errors):
        if error:
            played = [*output["prompt_ids"][index], *output["completion_ids"][index]]
            context = tuple(trainer.chat.extend(played, error))
            if len(context) <= trainer.args.max_context_tokens:
                contexts[index] = context
    return contexts


def _replace(output: dict[str, Any], index: int, retry: Completion, trainer: Any) -> None:
    """Puts the repaired message at x. What stands there is counted as sampled, so the rest of the two is counted here."""
    failed = Completion(tuple(output["completion_ids"][index]), tuple(output["logprobs"][index]), StopReason.END)
    clean = merged(failed, retry, trainer.chat)
    output["completion_ids"][index], output["logprobs"][index] = list(clean.ids), list(clean.logprobs)
    output["env_mask"][index] = [1] * len(clean.ids)
    trainer.count("tokens/exploration_sampled", len(failed.ids) - len(clean.ids))
    trainer.count("cleaner/repaired", 1)


def _count_taken_back(trajectories: Sequence[Trajectory], trainer: Any) -> None:
    taken_back = [trajectory.taken_back for trajectory in trajectories]
    trainer.count("cleaner/repaired", sum(each.repairs for each in taken_back))
    trainer.count("tokens/exploration_sampled", sum(each.sampled_tokens for each in taken_back))
    trainer.count("tokens/exploration_prefill", sum(each.read_tokens for each in taken_back))
