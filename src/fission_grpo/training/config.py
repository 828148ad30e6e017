"""`FissionGRPOConfig`: TRL's GRPO settings plus those of fission."""

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from fission_grpo.errors import UserError
from fission_grpo.fission import FissionSettings, PoolOrder, RecoveryContext, SignalFilter
from fission_grpo.fission.trigger import recovery_groups
from fission_grpo.recipe.shares import fitting_shares
from fission_grpo.types import FeedbackLevel

CPU_DEFAULTS = {"use_cpu": True, "bf16": False, "activation_checkpointing": False}
"""What TRL's configs need on a machine without a GPU."""
_SETTINGS = FissionSettings()
_CHOICES_OF_TRL = {
    "loss_type": ["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"],
    "scale_rewards": ["group", "batch", "none"],
    "multi_objective_aggregation": ["sum_then_normalize", "normalize_then_sum"],
    "importance_sampling_level": ["token", "sequence"],
    "vllm_mode": ["server", "colocate"],
    "vllm_importance_sampling_mode": ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"],
}
"""TRL looks at them when the first batch is played and its loss computed, long after the model is loaded."""
_LEAST = {
    "learning_rate": 0,
    "num_iterations": 1,
    "recovery_generations": 2,
    "trigger_interval": 1,
    "pool_capacity": 1,
    "pool_max_age": 1,
    "max_attempts": 1,
    "max_context_tokens": 1,
}


@dataclass
class FissionGRPOConfig(GRPOConfig):
    """Settings of `FissionGRPOTrainer`. Everything that is not listed here is TRL's.

    Attributes:
        recovery_generations: G', recovery rollouts of one context.
        recovery_fraction: r, share of the rows of a triggered batch that are recoveries; 0 is plain GRPO.
        trigger_interval, trigger_size: see `fission.settings`.
        pool_capacity, pool_max_age, pool_order, recovery_context: likewise.
        unanswered_failures, feedback_level, selection, escalation, max_attempts, refission: likewise.
        max_context_tokens: bound on x_corr; TRL has no bound on prompts.
        signal_filter: `outcome` zeroes the advantages of groups whose outcomes agree, `none` keeps TRL's.
        success_threshold: with foreign reward functions, the (weighted, summed) reward from which a rollout is a success.
            One of this and the trainer's `outcome_fn` is required.
    """

    recovery_generations: int = field(default=_SETTINGS.recovery_generations)
    recovery_fraction: float = field(default=_SETTINGS.recovery_fraction)
    trigger_interval: int = field(default=_SETTINGS.trigger_interval)
    trigger_size: int = field(default=_SETTINGS.trigger_size)
    pool_capacity: int = field(default=_SETTINGS.pool_capacity)
    pool_max_age: int = field(default=_SETTINGS.pool_max_age)
    pool_order: str = field(default=_SETTINGS.pool_order.value)
    recovery_context: str = field(default=_SETTINGS.recovery_context.value)
    unanswered_failures: bool = field(default=_SETTINGS.unanswered_failures)
    feedback_level: int = field(default=int(_SETTINGS.feedback_level))
    selection: bool = field(default=_SETTINGS.selection)
    escalation: bool = field(default=_SETTINGS.escalation)
    max_attempts: int = field(default=_SETTINGS.max_attempts)
    max_context_tokens: int = field(default=_SETTINGS.max_context_tokens)
    refission: bool = field(default=_SETTINGS.refission)
    signal_filter: str = field(default=SignalFilter.NONE.value)
    success_threshold: float | None = field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in _CHOICES_OF_TRL.items():
            _check_choice(name, getattr(self, name), choices)
        _check_choice("pool_order", self.pool_order, [order.value for order in PoolOrder])
        _check_choice("recovery_context", self.recovery_context, [kind.value for kind in RecoveryContext])
        _check_choice("signal_filter", self.signal_filter, [kind.value for kind in SignalFilter])
        _check_choice("feedback_level", self.feedback_level, [int(level) for level in FeedbackLevel])
        if not 0.0 <= self.recovery_fraction <= 1.0:
            raise UserError(f"recovery_fraction: {self.recovery_fraction} found, a share from 0 to 1 is allowed")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UserError(f"{name}: {getattr(self, name)} found, {least} or more is allowed")
        if self.max_steps != -1 and self.max_steps < 1:
            raise UserError(f"max_steps: {self.max_steps} found, 1 or more is allowed, or -1: num_train_epochs decides then")
        if self.max_steps == -1 and self.num_train_epochs <= 0:
            raise UserError(f"num_train_epochs: {self.num_train_epochs:g} found, more than 0 is allowed")
        self._check_rows()
        self._check_pool()
        self._check_saves()

    def fission_settings(self) -> FissionSettings:
        """The torch-free settings of the engine."""
        values = {each.name: getattr(self, each.name) for each in fields(FissionSettings)}
        values["pool_order"] = PoolOrder(self.pool_order)
        values["recovery_context"] = RecoveryContext(self.recovery_context)
        values["feedback_level"] = FeedbackLevel(self.feedback_level)
        return FissionSettings(**values)

    def _check_rows(self) -> None:
        """Recovery rows must be whole groups of G' on every rank, and leave whole groups of G for exploration."""
        assert self.generation_batch_size is not None and self.num_generations is not None
        rows, group, world = self.generation_batch_size, self.recovery_generations, max(1, self.world_size)
        recovery = round(self.recovery_fraction * rows)
        if recovery % group or recovery % world:
            raise UserError(
                f"recovery_fraction: {self.recovery_fraction} of {rows} rows is {recovery}, which must be a multiple of "
                f"recovery_generations ({group}) and of the number of processes ({world}); "
                f"{fitting_shares(self.recovery_fraction, rows, self.num_generations, group, world)}"
            )
        if (rows - recovery) % self.num_generations:
            raise UserError(
                f"recovery_fraction: {self.recovery_fraction} leaves {rows - recovery} of {rows} rows to exploration, which "
                f"must be a multiple of num_generations ({self.num_generations})"
            )

    def _check_pool(self) -> None:
        """A pool that never holds what a batch needs would make the run plain GRPO."""
        settings = self.fission_settings()
        groups = recovery_groups(settings, self.generation_batch_size or 0)
        if groups and max(groups, self.trigger_size) > self.pool_capacity:
            needed = f"the {groups} recovery groups of a batch" if groups >= self.trigger_size else "trigger_size"
            raise UserError(
                f"pool_capacity: {self.pool_capacity} found, {max(groups, self.trigger_size)} or more is allowed: the pool "
                f"could never hold {needed}, and no recovery would be trained"
            )

    def _check_saves(self) -> None:
        """A checkpoint between two generations would lose the rollouts in flight (they are no part of Trainer's state)."""
        assert self.steps_per_generation is not None
        micro_steps = self.steps_per_generation * self.num_iterations
        if self.save_strategy == "steps" and self.save_steps < 1:
            raise UserError(f"save_steps: {self.save_steps} found, 1 or more is allowed")
        if self.save_strategy == "steps" and (self.save_steps * self.gradient_accumulation_steps) % micro_steps:
            every = micro_steps // self.gradient_accumulation_steps
            raise UserError(
                f"save_steps: {self.save_steps} found, a multiple of {every} is allowed: one generation's updates"
            )


def _check_choice(name: str, value: object, allowed: list[Any]) -> None:
    if value not in allowed:
        near = get_close_matches(str(value), [str(each) for each in allowed], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{name}: {value!r} found, allowed: {', '.join(str(each) for each in allowed)}{hint}")
