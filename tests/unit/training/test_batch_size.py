"""Batches stay what they are, whatever the number of processes."""

from pathlib import Path
from typing import Any

import pytest

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe
from fission_grpo.training.batch_size import on_one_process, on_processes
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.dynamic_sampling import check_whole_groups
from fission_grpo.training.methods.base import Method
from fission_grpo.training.methods.dapo import DAPO


def recipe(**trainer: int) -> Recipe:
    return Recipe.model_validate({"model": "bundled", "method": "grpo", "trainer": {"num_generations": 4, **trainer}})


def rows(recipe: Recipe, processes: int) -> int:
    trainer = recipe.trainer
    return trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"] * processes


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 6, 8, 12, 24])
def test_an_update_has_as_many_rows_on_any_number_of_processes(processes: int):
    kept = recipe(per_device_train_batch_size=8, gradient_accumulation_steps=6)
    dealt = on_processes(kept, processes)
    assert rows(dealt, processes) == 48
    assert rows(on_one_process(dealt, processes), 1) == 48


def test_the_same_number_of_processes_gets_the_same_recipe():
    started = recipe(per_device_train_batch_size=8, gradient_accumulation_steps=2, steps_per_generation=4)
    assert on_processes(on_one_process(started, 4), 4).trainer == started.trainer


def test_the_rows_of_a_generation_stay_too():
    started = recipe(per_device_train_batch_size=8, gradient_accumulation_steps=2, steps_per_generation=4)
    dealt = on_processes(on_one_process(started, 2), 4).trainer
    assert dealt["per_device_train_batch_size"] * dealt["steps_per_generation"] * 4 == 8 * 4 * 2


def test_rows_that_cannot_be_dealt_out_are_refused():
    with pytest.raises(UserError, match="number of processes: 5 found, a divisor of 16 is allowed"):
        on_processes(recipe(per_device_train_batch_size=8, gradient_accumulation_steps=2), 5)


def test_a_recipe_is_checked_for_all_processes(monkeypatch: pytest.MonkeyPatch):
    """Four rows a process are no group of eight, but two processes make one."""
    trainer = {"num_generations": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    settings = {"model": "bundled", "method": "grpo", "trainer": trainer}
    with pytest.raises(ValueError, match="does not divide the generation batch of 4 rows"):
        Recipe.model_validate(settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Recipe.model_validate(settings).batch_rows == 8


def test_dynamic_sampling_wants_whole_groups_on_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings: dict[str, Any] = {"use_cpu": True, "bf16": False, "num_generations": 8, "per_device_train_batch_size": 4}
    args = FissionGRPOConfig(str(tmp_path), recovery_fraction=0.0, gradient_accumulation_steps=4, **settings)
    check_whole_groups(args, DAPO())
    monkeypatch.setattr(FissionGRPOConfig, "world_size", 4)
    check_whole_groups(args, Method())
    with pytest.raises(UserError, match="num_generations: 8 found, a divisor of 4 is allowed: under dynamic sampling"):
        check_whole_groups(args, DAPO())
