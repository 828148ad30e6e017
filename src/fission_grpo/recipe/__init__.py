"""Recipes: what a run is, in one YAML file that is checked to the last key before any model is loaded."""

from fission_grpo.recipe.comparison import ComparisonEvaluation, ComparisonRecipe, OtherBenchmark, ProbeSection
from fission_grpo.recipe.loading import dump_recipe, load_recipe, load_simulator_recipe
from fission_grpo.recipe.schema import (
    AlignmentSection,
    EndpointSimulatorSection,
    EvaluationSection,
    FissionSection,
    LocalSimulatorSection,
    LoraSection,
    Recipe,
    RefreshSection,
    RewardSection,
    RolloutSection,
    SimulatorSection,
    UserSection,
)
from fission_grpo.recipe.simulator import SimulatorRecipe
from fission_grpo.recipe.tasks import GeneratedTasks, TaskSource, TasksSection, Tau2Tasks

__all__ = [
    "AlignmentSection",
    "ComparisonEvaluation",
    "ComparisonRecipe",
    "EndpointSimulatorSection",
    "EvaluationSection",
    "FissionSection",
    "GeneratedTasks",
    "LocalSimulatorSection",
    "LoraSection",
    "OtherBenchmark",
    "ProbeSection",
    "Recipe",
    "RefreshSection",
    "RewardSection",
    "RolloutSection",
    "SimulatorRecipe",
    "SimulatorSection",
    "TaskSource",
    "TasksSection",
    "Tau2Tasks",
    "UserSection",
    "dump_recipe",
    "load_recipe",
    "load_simulator_recipe",
]
