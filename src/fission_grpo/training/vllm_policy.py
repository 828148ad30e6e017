"""`VLLMPolicy`: the policy as TRL's vLLM engine serves it, for rollouts of several messages (TRL itself asks for one).

Under a server, and where processes share one engine, TRL's `VLLMGeneration.generate` is collective: it returns once every
process has called it, and takes equally many prompts from each. Episodes differ in length, so that every process takes part
in as many rounds as the longest episode of all needs, with as many prompts as the fullest process has.
"""

from collections.abc import Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from fission_grpo.rollout.policy import Sampling
from fission_grpo.types import Completion, StopReason


class VLLMPolicy:
    """Continues token sequences through TRL's engine, whose weights TRL keeps those of the update at hand.

    Args:
        engine: TRL's `VLLMGeneration`. It has the sampling settings of the trainer's arguments, and draws by itself: a
            `Sampling` given to `generate` changes nothing, its seed included.
        end_ids: the tokens that end a message.
        idle_prompt: what a process without prompts of its own asks for, so that the others are answered.
    """

    def __init__(self, engine: Any, accelerator: Accelerator, end_ids: frozenset[int], idle_prompt: Sequence[int]) -> None:
        self._engine = engine
        shared = engine.mode == "server" or engine.tensor_parallel_size > 1
        self._together = shared and accelerator.num_processes > 1
        self._end_ids = end_ids
        self._idle_prompt = list(idle_prompt)

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """One message a prompt, in order."""
        width = self._width(len(prompts))
        return self._ask(prompts, width)[: len(prompts)] if width else []

    def finish(self) -> None:
        """Takes part in the rounds that other processes still need. Every process calls it once its episodes are over."""
        while width := self._width(0):
            self._ask([], width)

    def _width(self, own: int) -> int:
        """Prompts of the fullest process; 0 once none has any."""
        return max(gather_object([own])) if self._together else own

    def _ask(self, prompts: Sequence[Sequence[int]], width: int) -> list[Completion]:
        padded = [list(ids) for ids in prompts] + [self._idle_prompt] * (width - len(prompts))
        _, completion_ids, logprobs, _ = self._engine.generate(prompts=padded, images=None, num_generations=1)
        return [
            Completion(
                ids=tuple(ids),
                logprobs=tuple(each[0] for each in positions),  # of the sampled token; TRL asks for no others
                stop_reason=StopReason.END if ids and ids[-1] in self._end_ids else StopReason.LENGTH,
            )
            for ids, positions in zip(completion_ids, logprobs, strict=True)
        ]
