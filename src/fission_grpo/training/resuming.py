"""A run that goes on with another number of processes keeps its batches: every process then has more rows, or fewer."""

from collections.abc import Mapping
from typing import cast

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe
from fission_grpo.training.config import FissionGRPOConfig


def batch_of(args: FissionGRPOConfig) -> dict[str, int]:
    """Rows of an update and of a generation batch over all processes, as a checkpoint keeps them."""
    update = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return {"update": update, "generation": cast(int, args.generation_batch_size)}


def with_batch(recipe: Recipe, batch: Mapping[str, int], processes: int) -> Recipe:
    """The recipe with as many rows an update as `batch` says, dealt to so many processes.

    It is the steps of accumulation that change, where they can, and otherwise the rows that a process computes at once.

    Raises:
        UserError: the rows cannot be dealt out evenly.
    """
    rows = batch["update"]
    at_once = recipe.trainer.get("per_device_train_batch_size", FissionGRPOConfig.per_device_train_batch_size)
    steps = recipe.trainer.get("gradient_accumulation_steps", FissionGRPOConfig.gradient_accumulation_steps)
    if at_once * steps * processes == rows:
        return recipe
    if rows % (at_once * processes) == 0:
        steps = rows // (at_once * processes)
    elif rows % (steps * processes) == 0:
        at_once = rows // (steps * processes)
    else:
        raise UserError(
            f"number of processes: {processes} found, a divisor of {rows} is allowed, with at least "
            f"trainer.gradient_accumulation_steps ({steps}) rows each: the run's checkpoint is of {rows} rows an update"
        )
    settings = {name: value for name, value in recipe.trainer.items() if name != "steps_per_generation"}
    settings |= {
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": steps,
        "generation_batch_size": batch["generation"],
    }
    return recipe.model_copy(update={"trainer": settings})
