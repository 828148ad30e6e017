"""The training methods by the names that recipes give them."""

from collections.abc import Callable

from fission_grpo.recipe import Recipe
from fission_grpo.recipe.methods import MethodName
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.methods.base import Method
from fission_grpo.training.methods.cleaner import Cleaner
from fission_grpo.training.methods.dapo import DAPO
from fission_grpo.training.methods.demonstrations import Demonstrations
from fission_grpo.training.methods.dr_grpo import DrGRPO
from fission_grpo.training.methods.fission import FissionGRPO
from fission_grpo.training.methods.grpo import GRPO
from fission_grpo.training.methods.gspo import GSPO
from fission_grpo.training.methods.matchtir import MatchTIR
from fission_grpo.training.methods.ngrpo import NGRPO
from fission_grpo.training.methods.reflection import Reflection
from fission_grpo.training.methods.self_correction import SelfCorrection
from fission_grpo.training.methods.static_errors import StaticErrors
from fission_grpo.training.step import StepTasks

Tasks = StepTasks | EpisodeTasks

CLASSES: dict[MethodName, type[Method]] = {
    "grpo": GRPO,
    "dapo": DAPO,
    "dr_grpo": DrGRPO,
    "gspo": GSPO,
    "ngrpo": NGRPO,
    "matchtir": MatchTIR,
    "cleaner": Cleaner,
    "reflection": Reflection,
    "static_errors": StaticErrors,
    "self_correction": SelfCorrection,
    "demonstrations": Demonstrations,
    "fission": FissionGRPO,
}
_MADE_OF_TASKS: dict[MethodName, Callable[[Recipe, Tasks], Method]] = {
    "ngrpo": lambda recipe, tasks: NGRPO(tasks.best_reward),
    "matchtir": lambda recipe, tasks: MatchTIR(tasks.trace),
    "demonstrations": lambda recipe, tasks: Demonstrations(_steps(tasks).demonstration),
    "cleaner": lambda recipe, tasks: Cleaner(tasks.error if isinstance(tasks, StepTasks) else None),
    "static_errors": lambda recipe, tasks: StaticErrors(tasks.sample, tasks.failure, recipe.fission.pool_capacity),
}


def _steps(tasks: Tasks) -> StepTasks:
    assert isinstance(tasks, StepTasks)  # the recipe was checked
    return tasks


def make_method(recipe: Recipe, tasks: Tasks) -> Method:
    """The method of a recipe, on the tasks that it trains on."""
    make = _MADE_OF_TASKS.get(recipe.method)
    return CLASSES[recipe.method]() if make is None else make(recipe, tasks)
