"""What a training method may change of a GRPO update. The base class changes nothing: it is GRPO as TRL has it.

A method is one file. It decides fields of TRL's config (`settings`), and may override:

    generate      what the rows of a batch sample
    scores        what it looks at of a rollout
    advantages    how a group's scores become advantages
    begin         what it prepares before the first update
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from fission_grpo.rollout.episode import Episode
from fission_grpo.training.rollouts import Rollout

Advantage = float | Sequence[float]
"""Of a rollout: one number, or one for every message that the policy wrote in it."""
Generate = Callable[[list[Any], Any], dict[str, Any]]
"""TRL's `rollout_func`: prompts and trainer to token ids, log-probabilities and masks."""


@dataclass(frozen=True)
class Scores:
    """What a method looks at of one rollout. Light, because it travels between processes.

    Attributes:
        reward: None where the infrastructure failed.
        messages: a reward for every message of the rollout (S,), for methods that have one.
    """

    reward: float | None
    outcome: bool
    messages: tuple[float, ...] = ()


class Method:
    """GRPO (Shao et al. 2024, arXiv 2402.03300), and the base of every other method.

    The loss is TRL's default, normalised by the tokens of the whole batch (`loss_type: dapo`), as GRPO is mostly run today;
    `trainer.loss_type=grpo` gives the original, which normalises within each completion.

    Attributes:
        settings: fields of TRL's config that make the method what it is; a recipe cannot set them otherwise.
        resampling_rounds: further batches of prompts that may be sampled to replace exploration groups without signal.
        episode_type: how episodes of exploration are played.
    """

    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    resampling_rounds: ClassVar[int] = 0
    episode_type: ClassVar[type[Episode]] = Episode

    def begin(self, trainer: Any) -> None:
        """Called before every generation batch; what it prepares once must survive a resume by itself."""

    def generate(self, prompts: list[Any], trainer: Any, sample: Generate) -> dict[str, Any]:
        """Samples the rows that the trainer is generating for; `sample` does it as the granularity has it."""
        return sample(prompts, trainer)

    def scores(self, rollout: Rollout) -> Scores:
        """What `advantages` gets of a rollout."""
        return Scores(rollout.reward, rollout.outcome)

    def advantages(self, group: Sequence[Scores], *, recovery: bool, update: int) -> Sequence[Advantage] | None:
        """The advantages of one group, or None for those that TRL has computed.

        Args:
            recovery: the group continues from one failure; otherwise it explores one prompt.
            update: policy updates done.
        """
        return None
