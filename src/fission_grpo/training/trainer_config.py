"""A recipe as settings of the trainer: what its `trainer` section may hold, and what it need not say."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import torch

from fission_grpo.errors import UserError
from fission_grpo.fission import FissionSettings
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.base import Bound
from fission_grpo.training.config import CPU_DEFAULTS, FissionGRPOConfig
from fission_grpo.training.methods.registry import CLASSES
from fission_grpo.training.refusals import told_as, try_out
from fission_grpo.types import FeedbackLevel

_DEFAULTS = {
    "logging_steps": 1,
    "save_steps": 20,
    "save_total_limit": 2,
    "report_to": "none",
    "beta": 0.0,
    "lr_scheduler_type": "constant_with_warmup",  # constant, unless `warmup_steps` is set
    "log_level_replica": "error",  # what every process has to say, the main one says
    "disable_tqdm": True,  # our own progress display is fed by the same log
    "ddp_find_unused_parameters": False,  # looking for them costs time; a mixture of experts has some
}
"""What a recipe need not say; whatever it says in `trainer` wins."""
_FIXED = {
    "logging_steps": (1, "an update has one line of metrics"),
    "logging_strategy": ("steps", "an update has one line of metrics"),
    "remove_unused_columns": (False, "the rows carry their tasks"),
}
_DECIDED_ELSEWHERE = {
    "data_seed": "`seed` decides it",
    "signal_filter": "`fission.signal_filter` decides it",
    "success_threshold": "the task's reference or verdict decides it",
    "resume_from_checkpoint": "`fission resume RUN` continues a run",
    "chat_template_kwargs": "the evaluation would not know of it; change the chat template of the model's tokenizer",
}
"""Fields of the trainer's config that a recipe leaves alone."""
_OF_GENERATE = ("min_p", "repetition_penalty", "generation_kwargs", "cache_implementation")
"""Settings of `generate`, in whose place stands our own sampling; vLLM has the first three."""


def trainer_fields() -> dict[str, Any]:
    """The names that a recipe's `trainer` section may hold, and the types of their values."""
    own = {each.name for each in fields(FissionSettings)}
    types = {name: kind for name, kind in get_type_hints(FissionGRPOConfig).items() if name not in own}
    return types | {
        "scale_rewards": str | bool,  # TRL takes both, and says so everywhere but in the type
        "max_grad_norm": Bound,  # without a bound it is measured, and nothing clipped
    }


def trainer_config(recipe: Recipe, run: Path) -> FissionGRPOConfig:
    """The recipe as settings of the trainer; on a machine without a GPU, the ones that a CPU needs.

    Raises:
        UserError: the trainer's library refuses a value, or a value would have no effect.
    """
    fission = recipe.fission.model_dump(exclude={"simulators", "recovery_horizon", "feedback_level"})
    fission["feedback_level"] = int(FeedbackLevel[recipe.fission.feedback_level.upper()])
    if not recipe.recovers:
        fission["recovery_fraction"] = 0.0
    machine = {} if torch.cuda.is_available() else CPU_DEFAULTS
    _check_settings(recipe.trainer)
    settings: dict[str, Any] = _DEFAULTS | machine | recipe.trainer | method_settings(recipe) | fission
    with told_as("trainer", TypeError, AssertionError):
        args = FissionGRPOConfig(
            output_dir=str(run),
            seed=recipe.seed,
            temperature=recipe.rollout.temperature,
            max_completion_length=recipe.rollout.max_new_tokens,
            **settings,
        )
    try_out(args)
    return args


def method_settings(recipe: Recipe) -> dict[str, Any]:
    """The fields of TRL's config that the method decides.

    Raises:
        UserError: the recipe decides them otherwise.
    """
    settings = CLASSES[recipe.method].settings
    for key, value in settings.items():
        if recipe.trainer.get(key, value) != value:
            raise UserError(
                f"trainer.{key}: {recipe.trainer[key]!r} found, {value!r} is allowed: `method: {recipe.method}` decides it"
            )
    return dict(settings)


def _check_settings(given: Mapping[str, Any]) -> None:
    """Says which of the settings given have no place in a recipe, or no effect."""
    for key, (allowed, reason) in _FIXED.items():
        if given.get(key, allowed) != allowed:
            raise UserError(f"trainer.{key}: {given[key]!r} found, {allowed!r} is allowed: {reason}")
    for key, instead in _DECIDED_ELSEWHERE.items():
        if given.get(key) is not None:
            raise UserError(f"trainer.{key}: {given[key]!r} found, leave it out: {instead}")
    for key in _OF_GENERATE:
        if not given.get("use_vllm") and given.get(key) not in (None, 1.0):
            raise UserError(
                f"trainer.{key}: {given[key]!r} would have no effect without vLLM, leave it out: messages are sampled by "
                "`rollout.temperature`, `trainer.top_p` and `trainer.top_k`"
            )
    if given.get("lr_scheduler_type") == "constant" and given.get("warmup_steps"):
        raise UserError(
            f"trainer.warmup_steps: {given['warmup_steps']} would have no effect under `lr_scheduler_type: constant`; "
            "`constant_with_warmup` is allowed"
        )
