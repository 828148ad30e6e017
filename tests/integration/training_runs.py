"""Trainers on the bundled policy for tests: a drop-in one, and one of a recipe on generated tasks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from fission_grpo.recipe import Recipe, load_recipe
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.runs import build_trainer, tasks_of
from fission_grpo.training.trainer import FissionGRPOTrainer
from fission_grpo.training.trainer_config import trainer_config

RECIPE = Path(__file__).parents[2] / "recipes" / "bfcl_quick.yaml"
SMALL = (
    "trainer.max_steps=2",
    "trainer.per_device_train_batch_size=16",
    "trainer.gradient_accumulation_steps=1",
    "trainer.num_generations=4",
    "fission.recovery_generations=4",
    "rollout.max_new_tokens=32",
    "tasks.train={generate: {count: 12, seed: 5, mix: compact}}",
)

SETTINGS: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "learning_rate": 1e-4,
    "beta": 0.0,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
}
"""Of TRL's config: 16 rows in groups of four on a CPU, nothing saved or reported."""


def small_recipe(*overrides: str) -> Recipe:
    """16 rows in groups of four."""
    return load_recipe(RECIPE, [*SMALL, *overrides])


def recipe_trainer(run: Path, *overrides: str) -> Any:
    """The trainer of a small recipe, in a new run folder."""
    recipe = small_recipe(*overrides)
    tasks = tasks_of(recipe.tasks.train, "train", recipe.environment)
    return build_trainer(recipe, trainer_config(recipe, run), tasks, RunFolder.create(run, recipe), ())


def drop_in_rows(count: int = 16) -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"Please open note{index}."}],
                "number": index,
                "reference": json.dumps([{"name": "cat", "arguments": {"file_name": f"note{index}"}}]),
            }
            for index in range(count)
        ]
    )


def length_reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Has variance in nearly every group."""
    return [float(len(ids)) + (ids[0] % 7) / 7 for ids in completion_ids]


def alternating(completion_ids: list[list[int]], **_: Any) -> list[bool]:
    """Every other row is right."""
    return [index % 2 == 0 for index in range(len(completion_ids))]


def drop_in_trainer(folder: Path, rows: Dataset | None = None, **arguments: Any) -> Any:
    """A trainer with foreign rewards; 16 rows in groups of four, no recoveries unless `args` says so."""
    model, tokenizer = load_policy_model("bundled")
    settings: dict[str, Any] = {
        **SETTINGS,
        "max_completion_length": 10,
        "max_steps": 1,
        "recovery_generations": 4,
        "recovery_fraction": 0.0,
        **arguments.pop("args", {}),
    }
    return FissionGRPOTrainer(
        model,
        length_reward,
        FissionGRPOConfig(output_dir=str(folder), **settings),
        processing_class=tokenizer,
        train_dataset=rows or drop_in_rows(),
        error_simulator=FixedSimulator(),
        outcome_fn=arguments.pop("outcome_fn", alternating),
        **arguments,
    )


def without_clock(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`, without how long anything took."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if "seconds" not in key} for line in lines]


def watched(target: Any, name: str, seen: list[tuple[Sequence[Any], Any]]) -> None:
    """Notes arguments and result of every call of a method."""
    original = getattr(target, name)

    def watching(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        seen.append((arguments, result))
        return result

    setattr(target, name, watching)
