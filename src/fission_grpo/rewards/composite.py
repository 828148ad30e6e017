"""R(tau, t) = 1/3 * [w_fmt(t) * R_fmt + w_corr(t) * R_corr + R_len], and the binary outcome beside it."""

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.correctness import CorrectnessReward
from fission_grpo.rewards.format import format_reward
from fission_grpo.rewards.length import LengthReward
from fission_grpo.rewards.schedule import LinearSchedule

_TOLERANCE = 1e-6
"""R_corr is a sum of fractions: a threshold of exactly 1 must not fail on rounding."""

_Weight = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RewardSettings:
    """Settings of the composite reward; the defaults are those of docs/method.md, section 3.

    Attributes:
        alpha: weight of the tool names inside R_corr; the arguments weigh `1 - alpha`.
        schedule_steps: updates over which both weights move.
        w_fmt: weight of R_fmt at the start and at the end of the schedule.
        w_corr: weight of R_corr, likewise.
        delta_corr: a step with R_corr below it is a failure.
        length_band: lengths that score R_len = 1, in multiples of the reference length.
        length_sigma: Gaussian fall-off outside the band, in multiples of the reference length.
        use_length: without it R_len is 1 for every step: the range of R stays, and no advantage is moved.
        ordered: the order of the calls in a message counts.
    """

    alpha: _Share = 0.5
    schedule_steps: Annotated[int, Field(ge=0)] = 150
    w_fmt: tuple[_Weight, _Weight] = (2.0, 1.0)
    w_corr: tuple[_Weight, _Weight] = (2.0, 3.0)
    delta_corr: _Share = 1.0
    length_band: tuple[_Weight, _Weight] = (0.5, 1.5)
    length_sigma: Annotated[float, Field(gt=0)] = 0.5
    use_length: bool = True
    ordered: bool = False

    @model_validator(mode="after")
    def _band_is_an_interval(self) -> Self:
        low, high = self.length_band
        if low > high:
            raise ValueError(f"length_band: {low:g} to {high:g} is no interval; its first value must not exceed its second")
        return self


@dataclass(frozen=True)
class RewardBreakdown:
    """The reward of one step and its terms (unweighted), with the binary outcome that failures are detected by."""

    total: float
    format: float
    correctness: float
    length: float
    outcome: bool


class CompositeReward:
    """The reward of METHOD 3 as training uses it.

    >>> from fission_grpo.types import ToolCall
    >>> ls = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object", "properties": {}}}}
    >>> reward = CompositeReward()
    >>> right = ScoredStep("", (ToolCall("ls", {}),), None, 20, (ToolCall("ls", {}),), 20, (ls,))
    >>> reward.score(right, training_step=0)
    RewardBreakdown(total=1.6666666666666667, format=1.0, correctness=1.0, length=1.0, outcome=True)
    >>> silent = ScoredStep("Done.", (), None, 20, (ToolCall("ls", {}),), 20, (ls,))
    >>> reward.score(silent, training_step=150)
    RewardBreakdown(total=0.6666666666666666, format=1.0, correctness=0.0, length=1.0, outcome=False)
    """

    def __init__(self, settings: RewardSettings | None = None) -> None:
        self.settings = settings = settings or RewardSettings()
        self._format_weight = LinearSchedule(*settings.w_fmt, steps=settings.schedule_steps)
        self._correctness_weight = LinearSchedule(*settings.w_corr, steps=settings.schedule_steps)
        self._correctness = CorrectnessReward(settings.alpha, settings.ordered)
        self._length = LengthReward(settings.length_band, settings.length_sigma)

    def score(self, step: ScoredStep, training_step: int, correctness: float | None = None) -> RewardBreakdown:
        """The reward at `training_step` (updates done), with its parts.

        Args:
            correctness: stands in for R_corr where more is known than the reference: whether the target state was reached.
        """
        form = format_reward(step, training_step)
        correct = self._correctness(step, training_step) if correctness is None else correctness
        length = self._length(step, training_step) if self.settings.use_length else 1.0
        weighted = self._format_weight(training_step) * form + self._correctness_weight(training_step) * correct
        outcome = form == 1.0 and correct >= self.settings.delta_corr - _TOLERANCE
        return RewardBreakdown((weighted + length) / 3, form, correct, length, outcome)

    def best(self, training_step: int) -> float:
        """The largest reward that can be had at `training_step`.

        >>> CompositeReward().best(0)
        1.6666666666666667
        """
        return (self._format_weight(training_step) + self._correctness_weight(training_step) + 1.0) / 3

    def __call__(self, step: ScoredStep, training_step: int) -> float:
        return self.score(step, training_step).total
