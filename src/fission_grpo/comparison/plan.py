"""From recipes to arms that can be compared: what they share is checked, and each gets its baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.recipe import ComparisonEvaluation, ComparisonRecipe, ProbeSection, Recipe
from fission_grpo.recipe.comparison import check_arm_name
from fission_grpo.recipe.loading import check_comparison_recipe, check_recipe, read_settings
from fission_grpo.recipe.nesting import differences, merged

UPDATES_BOUND = 1_000_000
"""`trainer.max_steps` of every run: the budget ends it long before."""
FAST_BUDGET = 25_000
"""A few updates of the bundled policy."""
_FAST_TASKS, _FAST_CONTEXTS, _FAST_OTHERS = 24, 16, 2
_CONSTANT = ("constant", "constant_with_warmup")
_SHARED = ("model", "environment", "tasks", "rollout")
"""Sections of a recipe that all arms must agree on: they say what is played, by whom, and under which limits."""


@dataclass(frozen=True)
class Arm:
    """One of the methods compared.

    Attributes:
        recipe: of its runs, seed aside.
        baseline: the arm that its differences are taken from; None for a baseline itself.
        added: nobody named it; it is GRPO at a granularity that had no baseline.
    """

    name: str
    recipe: Recipe
    baseline: str | None = None
    added: bool = False

    def describe(self) -> str:
        """The arm in a line."""
        role = "baseline" if self.baseline is None else f"against {self.baseline}"
        added = ", added: GRPO at the same granularity is always in the table" if self.added else ""
        filtered = self.recipe.fission.signal_filter
        return f"{self.name}: {self.recipe.method}, {self.recipe.granularity}, signal filter {filtered}, {role}{added}"


@dataclass(frozen=True)
class Plan:
    """What is compared, before any seed: the arms in the order of the table, baselines before what is measured by them."""

    arms: tuple[Arm, ...]
    budget: int
    evaluation: ComparisonEvaluation
    probe: ProbeSection

    @property
    def shared(self) -> dict[str, Any]:
        """What all runs have in common, as plain values."""
        recipe = self.arms[0].recipe.model_dump(mode="json", exclude_none=True)
        no_others = None if self.evaluation.also else {"also"}
        return {
            "budget": self.budget,
            "evaluation": self.evaluation.model_dump(mode="json", exclude_none=True, exclude=no_others),
            "probe": self.probe.model_dump(mode="json", exclude_none=True),
            **{key: without_temperature(recipe)[key] for key in _SHARED},
        }


def load_plan(paths: Sequence[Path], *, budget: int | None = None, fast: bool = False) -> Plan:
    """Reads one comparison recipe, or training recipes as arms named after their files.

    Args:
        budget: wins over the recipe's.
        fast: in a size that shows that everything works, not that it learns.

    Raises:
        UserError: a recipe is wrong, or arms cannot be compared; one sentence.
    """
    settings = {path: read_settings(path) for path in paths}
    comparisons = [path for path in paths if "arms" in settings[path]]
    if comparisons and len(paths) > 1:
        raise UserError(f"recipe {comparisons[0]}: a comparison recipe (it has `arms`) stands alone; give it without others")
    if comparisons:
        path = comparisons[0]
        recipe = check_comparison_recipe(settings[path], f"recipe {path}")
        arms = _arms_of_comparison(path, recipe)
        source = f"recipe {path}"
    else:
        arms = _arms_of_recipes(paths, settings)
        recipe = ComparisonRecipe(arms={arm.name: {} for arm in arms})
        source = "compare"
    _check_alike(arms, source)
    evaluation, probe = recipe.evaluation, recipe.probe
    budget = budget or recipe.budget
    if fast:
        evaluation, probe, budget = _fast_evaluation(evaluation), _fast_probe(probe), min(budget, FAST_BUDGET)
    arms = [_evaluated(arm, evaluation) for arm in _with_baselines(arms, recipe.baseline, source)]
    return Plan(tuple(arms), budget, evaluation, probe)


def without_temperature(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings less the one of its `rollout` that arms may differ in: evaluation has a temperature of its own."""
    rollout = {key: value for key, value in settings["rollout"].items() if key != "temperature"}
    return {**settings, "rollout": rollout}


def _arms_of_comparison(path: Path, recipe: ComparisonRecipe) -> list[Arm]:
    base = read_settings(path.parent / recipe.base) if recipe.base is not None else {}
    if "arms" in base:
        raise UserError(f"recipe {path}: `base` = {recipe.base!r} is a comparison recipe; name a training recipe")
    for place, settings in (("settings", recipe.settings), *((f"arms.{name}", arm) for name, arm in recipe.arms.items())):
        _check_not_decided(f"recipe {path}: `{place}", settings)
    common = merged(base, recipe.settings)
    return [
        Arm(name, _resolved(merged(common, settings), f"recipe {path}, arm `{name}`"))
        for name, settings in recipe.arms.items()
    ]


def _arms_of_recipes(paths: Sequence[Path], settings: Mapping[Path, dict[str, Any]]) -> list[Arm]:
    arms: dict[str, Arm] = {}
    for path in paths:
        name = path.stem
        try:
            check_arm_name(name)
        except ValueError as error:
            raise UserError(f"recipe {path}: {error}") from error
        if name in arms:
            raise UserError(f"recipe {path}: there is an arm `{name}` already; arms are named after files, rename one")
        arms[name] = Arm(name, _resolved(settings[path], f"recipe {path}"))
    return list(arms.values())


def _check_not_decided(place: str, settings: Mapping[str, Any]) -> None:
    for key, decided in (("seed", "`--seeds`"), ("evaluation", "the comparison's own section `evaluation`")):
        if key in settings:
            raise UserError(f"{place}.{key}` = {settings[key]!r} must not be set: {decided} decides it")
    trainer = settings.get("trainer")
    if isinstance(trainer, dict) and "max_steps" in trainer:
        raise UserError(f"{place}.trainer.max_steps` = {trainer['max_steps']!r} must not be set: `budget` ends every run")


def _resolved(settings: Mapping[str, Any], source: str) -> Recipe:
    """The recipe of an arm: its runs end by the budget, and what is evaluated is the comparison's affair."""
    given = check_recipe({key: value for key, value in settings.items() if key not in ("evaluation", "seed")}, source)
    schedule = given.trainer.get("lr_scheduler_type", _CONSTANT[0])
    if schedule not in _CONSTANT:
        raise UserError(
            f"{source}: `trainer.lr_scheduler_type` = {schedule!r} needs the number of updates, which a budget of tokens "
            f"leaves open; allowed are {' and '.join(_CONSTANT)}"
        )
    return given.model_copy(update={"trainer": {**given.trainer, "max_steps": UPDATES_BOUND}})


def _check_alike(arms: Sequence[Arm], source: str) -> None:
    first, *others = [(arm.name, without_temperature(arm.recipe.model_dump(mode="json"))) for arm in arms]
    for name, settings in others:
        for key in _SHARED:
            for where, values in differences({key: first[1][key]}, {key: settings[key]}).items():
                raise UserError(
                    f"{source}: the arms `{first[0]}` and `{name}` differ in `{where}` ({values[0]!r} and {values[1]!r}); "
                    "they are compared on the same policy, tasks, environment and limits, so make them equal"
                )


def _with_baselines(arms: Sequence[Arm], named: str | dict[Any, str] | None, source: str) -> list[Arm]:
    """The arms by granularity, the baseline of each first; GRPO is added where a granularity has none."""
    found: list[Arm] = []
    for granularity in dict.fromkeys(arm.recipe.granularity for arm in arms):
        group = [arm for arm in arms if arm.recipe.granularity == granularity]
        if not any(arm.recipe.method == "grpo" for arm in group):
            group = [_grpo_like(group[0], [arm.name for arm in arms]), *group]
        baseline = _baseline(group, arms, granularity, named, source)
        rest = [replace(arm, baseline=baseline.name) for arm in group if arm is not baseline]
        found += [baseline, *rest]
    return found


def _baseline(
    group: Sequence[Arm], arms: Sequence[Arm], granularity: str, named: str | dict[Any, str] | None, source: str
) -> Arm:
    wanted = named.get(granularity) if isinstance(named, dict) else named
    chosen = next((arm for arm in arms if arm.name == wanted), None)
    if chosen is not None and chosen.recipe.granularity == granularity:
        return chosen
    if chosen is not None and isinstance(named, dict):
        raise UserError(
            f"{source}: `baseline.{granularity}` = {wanted!r} has granularity {chosen.recipe.granularity}; differences are "
            "taken from an arm of the same granularity"
        )
    plain = [arm for arm in group if arm.recipe.method == "grpo"]
    if len(plain) > 1:
        names = ", ".join(arm.name for arm in plain)
        raise UserError(
            f"{source}: several arms are GRPO at granularity {granularity} ({names}); a comparison recipe says which is "
            f"the `baseline`, such as `baseline: {{{granularity}: {plain[0].name}}}`"
        )
    return plain[0]


def _grpo_like(arm: Arm, taken: Sequence[str]) -> Arm:
    """GRPO with the settings of an arm, what serves the arm's own method aside."""
    settings = arm.recipe.model_dump(exclude_none=True, exclude={"simulator"})
    settings |= {"method": "grpo", "fission": {"signal_filter": arm.recipe.fission.signal_filter}}
    free = (name for name in ("grpo", f"grpo_{arm.recipe.granularity}") if name not in taken)
    name = next(free, f"grpo_beside_{arm.name}")
    return Arm(name, check_recipe(settings, f"arm `{name}`"), added=True)


def _evaluated(arm: Arm, evaluation: ComparisonEvaluation) -> Arm:
    section = type(arm.recipe.evaluation).model_validate(evaluation.model_dump(exclude={"also"}))
    return replace(arm, recipe=arm.recipe.model_copy(update={"evaluation": section}))


def _fast_evaluation(evaluation: ComparisonEvaluation) -> ComparisonEvaluation:
    also = {
        name: other.model_copy(update={"limit": min(other.limit or _FAST_OTHERS, _FAST_OTHERS), "samples": 1})
        for name, other in evaluation.also.items()
    }
    return evaluation.model_copy(update={"tasks": min(evaluation.tasks, _FAST_TASKS), "samples": 1, "also": also})


def _fast_probe(probe: ProbeSection) -> ProbeSection:
    return probe.model_copy(update={"contexts": min(probe.contexts or _FAST_CONTEXTS, _FAST_CONTEXTS), "samples": 1})
