"""A run keeps its batches, whatever the number of processes that it goes on with.

A recipe says how many rows each process has. The run folder keeps it as one process would have to run it, and a resumed run
deals those rows to the processes that there are.
"""

from math import gcd

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe
from fission_grpo.training.config import FissionGRPOConfig

AT_ONCE, ACCUMULATED, GENERATED = "per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"


def on_one_process(recipe: Recipe, processes: int) -> Recipe:
    """The recipe by which one process has the batches that so many have by `recipe`."""
    if processes == 1:
        return recipe
    settings = {ACCUMULATED: _rows(recipe)[1] * processes}
    if GENERATED in recipe.trainer:
        settings[GENERATED] = recipe.trainer[GENERATED] * processes
    return recipe.model_copy(update={"trainer": recipe.trainer | settings})


def on_processes(recipe: Recipe, processes: int) -> Recipe:
    """The recipe by which so many processes have the batches that one has by `recipe`.

    Fewer steps are accumulated, where that is possible; otherwise a process computes fewer rows at once.

    Raises:
        UserError: the rows cannot be dealt out evenly.
    """
    at_once, steps = _rows(recipe)
    generated = recipe.trainer.get(GENERATED, steps)
    fewer = gcd(steps, generated, processes)
    if at_once % (processes // fewer):
        raise UserError(
            f"number of processes: {processes} found, a divisor of {at_once * steps} is allowed: the rows of an update "
            f"({AT_ONCE} {at_once} x {ACCUMULATED} {steps})"
        )
    settings = {AT_ONCE: at_once * fewer // processes, ACCUMULATED: steps // fewer}
    if GENERATED in recipe.trainer:
        settings[GENERATED] = generated // fewer
    return recipe if processes == 1 else recipe.model_copy(update={"trainer": recipe.trainer | settings})


def _rows(recipe: Recipe) -> tuple[int, int]:
    """Rows that a process computes at once, and how often it does for an update."""
    return (
        recipe.trainer.get(AT_ONCE, FissionGRPOConfig.per_device_train_batch_size),
        recipe.trainer.get(ACCUMULATED, FissionGRPOConfig.gradient_accumulation_steps),
    )
