"""SFT on the reference messages: a supervised warm start for models that do not call tools yet, and a baseline.

Nothing is sampled. Every row's completion is the reference message as the model's own chat format writes it, with advantage
1: at one update a generation the gradient of GRPO's loss is then that of the mean log-likelihood of its tokens.

TRL wants groups of at least two, so each message stands in a batch `trainer.num_generations` times: 2 is enough.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fission_grpo.training.generation import message_output
from fission_grpo.training.methods.base import Advantage, Generate, Method, Scores
from fission_grpo.types import Completion, StopReason


class Demonstrations(Method):
    """Imitates the reference.

    Args:
        demonstration: the reference message of a row, as text (`StepTasks.demonstration`).
    """

    def __init__(self, demonstration: Callable[[dict[str, Any]], str]) -> None:
        self._demonstration = demonstration

    def generate(self, prompts: list[Any], trainer: Any, sample: Generate) -> dict[str, Any]:
        prompt_ids, _, _ = trainer._tokenize_prompts(prompts)
        trainer.batch.copied = [True] * len(prompts)  # no token of it is sampled
        return message_output(prompt_ids, [self._completion(row, trainer) for row in trainer.batch.rows])

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage]:
        return [1.0] * len(group)

    def _completion(self, row: dict[str, Any], trainer: Any) -> Completion:
        text = self._demonstration(row)
        ids = (*trainer.chat.tokenize(text), trainer.chat.turn_end_id)
        return Completion(ids, (0.0,) * len(ids), StopReason.END)
