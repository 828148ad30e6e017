"""Plays tasks with a model given by its name or folder. Imports torch when called."""

from collections.abc import Sequence
from typing import cast

from fission_grpo.environments.registry import make_environment
from fission_grpo.evaluation.evaluate import EvaluationResult, Progress, evaluate
from fission_grpo.recipe import Recipe
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.tasks.task import Task


def evaluate_model(model: str, tasks: Sequence[Task], recipe: Recipe, progress: Progress | None = None) -> EvaluationResult:
    """Evaluates a model under a recipe's limits: its `rollout`, `evaluation`, `environment` and `seed`.

    Args:
        model: `bundled`, a folder, or a name on the hub; the recipe's own `model` is not looked at.

    Raises:
        UserError: no such model, or it has no chat template.
    """
    from fission_grpo.chat.template import ChatFormat
    from fission_grpo.rollout.loading import load_policy_model
    from fission_grpo.rollout.transformers_policy import TransformersPolicy

    loaded, tokenizer = load_policy_model(model)
    chat = ChatFormat(tokenizer)
    pad_id = cast(int, tokenizer.pad_token_id)  # `load_policy_model` sees to it that there is one
    return evaluate(
        TransformersPolicy(loaded, pad_id, chat.end_ids),
        chat,
        tasks,
        lambda _: make_environment(recipe.environment),
        samples=recipe.evaluation.samples,
        temperature=recipe.evaluation.temperature,
        seed=recipe.seed,
        limits=EpisodeLimits(recipe.rollout.steps_per_turn, recipe.rollout.max_context_tokens),
        max_new_tokens=recipe.rollout.max_new_tokens,
        progress=progress,
    )
