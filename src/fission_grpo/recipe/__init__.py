"""Recipes: what a run is, in one YAML file that is checked to the last key before any model is loaded."""

from fission_grpo.recipe.loading import dump_recipe, load_recipe
from fission_grpo.recipe.schema import (
    EvaluationSection,
    FissionSection,
    GeneratedTasks,
    LoraSection,
    Recipe,
    RewardSection,
    RolloutSection,
    TaskSource,
    TasksSection,
)

__all__ = [
    "EvaluationSection",
    "FissionSection",
    "GeneratedTasks",
    "LoraSection",
    "Recipe",
    "RewardSection",
    "RolloutSection",
    "TaskSource",
    "TasksSection",
    "dump_recipe",
    "load_recipe",
]
