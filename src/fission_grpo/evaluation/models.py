"""Plays tasks with a model given by its name or folder. torch is imported only when that is done."""

from collections.abc import Sequence
from pathlib import Path

from fission_grpo.environments.registry import make_environment
from fission_grpo.evaluation.evaluate import EvaluationResult, Progress, evaluate
from fission_grpo.evaluation.probe import continue_probe
from fission_grpo.evaluation.probe_set import ErrorContext
from fission_grpo.evaluation.records import save_records
from fission_grpo.recipe import Recipe
from fission_grpo.rollout.cpu import configure_cpu_unless_late
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.tasks.task import Task


def evaluate_model(
    model: str,
    tasks: Sequence[Task],
    recipe: Recipe,
    progress: Progress | None = None,
    *,
    keep_trajectories: bool = False,
) -> EvaluationResult:
    """Evaluates a model under a recipe's limits: its `rollout`, `evaluation`, `environment` and `seed`.

    Args:
        model: `bundled`, a folder, or a name on the hub; the recipe's own `model` is not looked at.

    Raises:
        UserError: no such model, or it has no chat template.
    """
    configure_cpu_unless_late()
    from fission_grpo.rollout.transformers_policy import load_policy

    return evaluate(
        *load_policy(model),
        tasks,
        lambda _: make_environment(recipe.environment, recipe.user),
        samples=recipe.evaluation.samples,
        temperature=recipe.evaluation.temperature,
        seed=recipe.seed,
        limits=_limits(recipe),
        max_new_tokens=recipe.rollout.max_new_tokens,
        progress=progress,
        keep_trajectories=keep_trajectories,
    )


def evaluate_into(file: Path, model: str, tasks: Sequence[Task], recipe: Recipe, progress: Progress | None = None) -> None:
    """Evaluates a model (see `evaluate_model`) and keeps its records in a file, which appears only once it is whole."""
    save_records(evaluate_model(model, tasks, recipe, progress).records, file)


def probe_into(
    file: Path,
    model: str,
    contexts: Sequence[ErrorContext],
    recipe: Recipe,
    samples: int,
    progress: Progress | None = None,
) -> None:
    """Continues a probe set with a model under a recipe's limits, and keeps the records as `evaluate_into` does.

    Raises:
        UserError: as `evaluate_model`, or the environment no longer answers as it did.
    """
    from fission_grpo.rollout.transformers_policy import load_policy

    result = continue_probe(
        *load_policy(model),
        contexts,
        lambda _: make_environment(recipe.environment, recipe.user),
        samples=samples,
        temperature=recipe.evaluation.temperature,
        seed=recipe.seed,
        limits=_limits(recipe),
        max_new_tokens=recipe.rollout.max_new_tokens,
        progress=progress,
    )
    save_records(result.records, file)


def _limits(recipe: Recipe) -> EpisodeLimits:
    return EpisodeLimits(recipe.rollout.steps_per_turn, recipe.rollout.max_context_tokens)
