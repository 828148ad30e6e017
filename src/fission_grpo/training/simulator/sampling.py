"""Fresh failures of a policy: its rollouts on the tasks of a recipe, played exactly as training would play them."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fission_grpo.chat.template import ChatFormat
from fission_grpo.recipe import Recipe
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy, load_policy
from fission_grpo.tasks.task import Split
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.runs import granularity_of, tasks_of
from fission_grpo.training.step import StepTasks
from fission_grpo.training.terminal import quieten
from fission_grpo.types import Failure

WAVE = 64
"""Rows played at a time, `SIBLINGS` times each."""
SIBLINGS = 4
"""Rollouts of a row: its prompt is read once for all of them."""
PASSES = 8
"""Most times that the same tasks are gone through: a policy that seldom fails gives fewer failures than asked for."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Playground:
    """A policy by its name, and tasks that it can be played on."""

    name: str
    policy: TransformersPolicy
    chat: ChatFormat
    tasks: StepTasks | EpisodeTasks
    recipe: Recipe

    def sampling(self, seed: int) -> Sampling:
        """As in training."""
        return Sampling(self.recipe.rollout.temperature, max_new_tokens=self.recipe.rollout.max_new_tokens, seed=seed)


def open_playground(recipe: Recipe, split: Split, model: str | None = None) -> Playground:
    """Loads the policy (`model`, or the recipe's) and the recipe's tasks of a split.

    Raises:
        UserError: a mistake in the recipe, its tasks or the model.
    """
    quieten()
    tasks = tasks_of(recipe.tasks.train if split == "train" else recipe.tasks.test, split, recipe.environment)
    name = model or recipe.model
    policy, chat = load_policy(name)
    return Playground(name, policy, chat, granularity_of(recipe, tasks, chat), recipe)


def sample_failures(playground: Playground, count: int, seed: int = 0, progress: Progress | None = None) -> list[Failure]:
    """`count` different failures that a simulator is asked about, or fewer where the policy does not fail that often.

    Messages that could not be read are left out: their feedback is deterministic.

    Args:
        progress: called with the failures found and wanted.
    """
    found: dict[str, Failure] = {}
    rows = cast(list[dict[str, Any]], list(playground.tasks.dataset()))
    for index, wave in enumerate(_waves(rows, seed)):
        rows_of_wave = [row for row in wave for _ in range(SIBLINGS)]
        rollouts = playground.tasks.sample(rows_of_wave, playground.policy, playground.sampling(seed * 10_007 + index))
        failed = [rollout for rollout in rollouts if rollout.reward is not None and not rollout.outcome]
        for failure in filter(None, map(playground.tasks.failure, failed)):
            if failure.format_error is None:
                found.setdefault(failure.key, failure)
        if progress is not None:
            progress(min(count, len(found)), count)
        if len(found) >= count:
            break
    return list(found.values())[:count]


def _waves(rows: Sequence[dict[str, Any]], seed: int) -> Iterator[list[dict[str, Any]]]:
    """The rows in a new order each time they are gone through."""
    for turn in range(PASSES):
        order = random.Random(f"{seed}/{turn}").sample(range(len(rows)), len(rows))
        for start in range(0, len(order), WAVE):
            yield [rows[index] for index in order[start : start + WAVE]]
