"""What is done in worker processes: checking and freezing the inputs once, then one run each from training to the probe set.

torch is imported only when a worker works.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fission_grpo.comparison.folder import TASK_FILES, run_recipe, still_to_do, write_manifest
from fission_grpo.comparison.plan import Plan
from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.recipe import GeneratedTasks, OtherBenchmark, Recipe, TaskSource
from fission_grpo.reports.comparison_folder import MANIFEST, NOTHING_FILE, PROBE_FILE, other_file
from fission_grpo.reports.comparison_progress import Phase, Share, Update
from fission_grpo.reports.data import EVALUATION_FILE
from fission_grpo.workers import Tell

if TYPE_CHECKING:
    from fission_grpo.evaluation.probe_set import ErrorContext
    from fission_grpo.tasks.task import Task

PROBE_CONTEXTS = 500
"""Of a probe set that the comparison makes itself."""
_PLAYED_FOR_ONE = 1.4
"""Tasks played for one context of the probe set, as many as were needed for the bundled policy."""


@dataclass(frozen=True)
class RunWork:
    """One run, to be done or finished.

    Attributes:
        recipe: with its seed and its `evaluation`; the tasks are the frozen ones.
        others: the other benchmarks, by name.
        trained: False of the start policy, which is evaluated alone.
    """

    path: Path
    tasks: Path
    recipe: Recipe
    budget: int
    probe_samples: int
    trained: bool
    others: Mapping[str, OtherBenchmark]

    @property
    def to_do(self) -> list[str]:
        return still_to_do(self.path, list(self.others), trained=self.trained)

    def work(self, tell: Tell) -> None:
        """Does what is missing; every file appears only once it is whole."""
        from fission_grpo.evaluation.models import evaluate_into, probe_into
        from fission_grpo.evaluation.probe_set import load_probe
        from fission_grpo.tasks.task import load_tasks

        model = str(self.path / "model") if self.trained else self.recipe.model
        for phase in self.to_do:
            tell(Phase(phase))
            if phase == "train":
                self._train(tell)
            elif phase == "test":
                tasks = load_tasks(self.tasks / "test.jsonl")
                evaluate_into(self.path / EVALUATION_FILE, model, tasks, self.recipe, _shares(tell))
            elif phase == "also":
                self._play_others(model, tell)
            else:
                contexts = load_probe(self.tasks / PROBE_FILE)
                probe_into(self.path / PROBE_FILE, model, contexts, self.recipe, self.probe_samples, _shares(tell))

    def _play_others(self, model: str, tell: Tell) -> None:
        from fission_grpo.evaluation.models import evaluate_into
        from fission_grpo.tasks.task import load_tasks

        left = {name: other for name, other in self.others.items() if not (self.path / other_file(name)).exists()}
        for place, (name, other) in enumerate(left.items()):
            tasks = load_tasks(self.tasks / other_file(name))
            recipe = recipe_of_other(self.recipe, other, tasks[0].environment)
            evaluate_into(self.path / other_file(name), model, tasks, recipe, _shares(tell, place, len(left)))

    def _train(self, tell: Tell) -> None:
        from fission_grpo.training.run_folder import RunFolder
        from fission_grpo.training.runs import train

        folder = RunFolder(self.path)

        def update(metrics: dict[str, Any]) -> None:
            tell(Update(metrics, min(1.0, folder.tokens() / self.budget)))

        resume = (self.path / "recipe.yaml").exists()
        train(self.recipe, self.path, resume=resume, sinks=[update], token_budget=self.budget)


def recipe_of_other(recipe: Recipe, other: OtherBenchmark, environment: str) -> Recipe:
    """The recipe under which another benchmark is played."""
    limits = other.model_dump(include={"steps_per_turn", "max_new_tokens", "max_context_tokens"}, exclude_none=True)
    return recipe.model_copy(
        update={
            "environment": environment,
            "user": other.user,
            "rollout": recipe.rollout.model_copy(update=limits),
            "evaluation": recipe.evaluation.model_copy(update={"samples": other.samples}),
        }
    )


def prepare(out: Path, plan: Plan, tell: Tell) -> None:
    """Checks what only torch and the trainer's library know of the arms, then freezes tasks and probe set in `out/tasks`.

    Raises:
        UserError: an arm is wrong, there are too few test tasks, or the probe set does not fit.
    """
    from fission_grpo.training.runs import check_trainable

    tell(Phase("check"))
    for arm in plan.arms:
        try:
            check_trainable(arm.recipe, out / arm.name)
        except UserError as error:
            raise UserError(f"arm `{arm.name}`: {error}") from error
    if not (out / "tasks" / MANIFEST).is_file():
        _freeze(out / "tasks", plan, tell)


def _freeze(folder: Path, plan: Plan, tell: Tell) -> None:
    from fission_grpo.evaluation.probe_set import save_probe
    from fission_grpo.tasks.splits import check_apart
    from fission_grpo.tasks.task import save_tasks
    from fission_grpo.training.runs import tasks_of

    tell(Phase("tasks"))
    recipe = plan.arms[0].recipe
    train = tasks_of(recipe.tasks.train, "train", recipe.environment)
    wanted = plan.evaluation.tasks
    test = tasks_of(recipe.tasks.test, "test", recipe.environment)[:wanted]
    if len(test) < wanted:
        raise UserError(f"`evaluation.tasks` = {wanted}, but `tasks.test` holds {len(test)}; make one of them the other")
    check_apart(train, test, "`tasks.test`")
    others, nothing = _others(plan, train)  # a missing file is told before the probe set takes its minutes
    tell(Phase("probe set"))
    contexts = _probe_contexts(plan, tell)
    check_apart(train, [context.task for context in contexts], "the probe set")
    save_tasks(train, folder / "train.jsonl")
    save_tasks(test, folder / "test.jsonl")
    save_probe(contexts, folder / "probe.jsonl")
    for name, tasks in others.items():
        save_tasks(tasks, folder / other_file(name))
    if nothing:
        write_whole(folder / NOTHING_FILE, json.dumps(nothing, indent=1) + "\n")
    assert all((folder / name).is_file() for name in TASK_FILES)
    write_manifest(folder)


def _others(plan: Plan, train: "Sequence[Task]") -> "tuple[dict[str, list[Task]], dict[str, dict[str, bool]]]":
    """The tasks of the other benchmarks, and what doing nothing solves of those where it may."""
    from fission_grpo.environments.registry import endpoint_user
    from fission_grpo.evaluation.tau.baseline import do_nothing
    from fission_grpo.evaluation.tau.benchmarks import BENCHMARKS
    from fission_grpo.tasks.splits import check_apart
    from fission_grpo.training.runs import tasks_of

    found: dict[str, list[Task]] = {}
    nothing: dict[str, dict[str, bool]] = {}
    for name, other in plan.evaluation.also.items():
        tasks = tasks_of(other.tasks, "test", "bfcl")[: other.limit]
        environments = sorted({task.environment for task in tasks})
        if len(environments) > 1:
            raise UserError(
                f"`evaluation.also.{name}.tasks` are of several environments ({', '.join(environments)}); split them"
            )
        check_apart(train, tasks, f"`evaluation.also.{name}.tasks`")
        if other.user is not None:
            endpoint_user(other.user.base_url, other.user.model).check()
        if environments[0] in BENCHMARKS:
            nothing[name] = do_nothing(BENCHMARKS[environments[0]], tasks)
        found[name] = tasks
    return found, nothing


def _probe_contexts(plan: Plan, tell: Tell) -> "list[ErrorContext]":
    from fission_grpo.evaluation.probe_set import load_probe

    if plan.probe.path is not None:
        contexts = load_probe(Path(plan.probe.path))
        wanted = plan.probe.contexts or len(contexts)
        if len(contexts) < wanted:
            raise UserError(f"`probe.contexts` = {wanted}, but {plan.probe.path} holds {len(contexts)}")
        return _spread(contexts, wanted)
    return _made_contexts(plan, tell)


def _spread(contexts: "Sequence[ErrorContext]", size: int) -> "list[ErrorContext]":
    """Evenly from the whole file, which holds its sources one after the other."""
    return [contexts[index * len(contexts) // size] for index in range(size)]


def _made_contexts(plan: Plan, tell: Tell) -> "list[ErrorContext]":
    """Half the start policy's own failures, half injected; where there are too few of one kind, more of the other."""
    from fission_grpo.environments.registry import make_environment
    from fission_grpo.evaluation.models import evaluate_model
    from fission_grpo.evaluation.probe_set import contexts_of_careless_calls, contexts_of_failures, select_contexts

    recipe = plan.arms[0].recipe
    wanted = plan.probe.contexts or PROBE_CONTEXTS
    tasks = _tasks_to_err_in(recipe, round(wanted * _PLAYED_FOR_ONE))
    once = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"samples": 1})})
    played = evaluate_model(recipe.model, tasks, once, _shares(tell), keep_trajectories=True)
    injected = contexts_of_careless_calls(tasks, lambda _: make_environment(recipe.environment))
    own = select_contexts(contexts_of_failures(played.trajectories, tasks), wanted)
    others = select_contexts(injected, wanted)
    of_own = max(wanted // 2, wanted - len(others))
    contexts = [*own[:of_own], *others[: wanted - min(len(own), of_own)]]
    if not contexts:
        raise UserError(
            f"no probe set can be made: no call erred in {len(tasks)} tasks, and they name no careless calls; name a probe "
            "file as `probe.path`"
        )
    return contexts


def _tasks_to_err_in(recipe: Recipe, count: int) -> "list[Task]":
    """Generated with the next seed where the test tasks are generated; else the test tasks themselves."""
    from fission_grpo.training.runs import tasks_of

    source = recipe.tasks.test
    if source.generate is not None:
        made = source.generate
        source = TaskSource(generate=GeneratedTasks(count=count, seed=made.seed + 1, mix=made.mix))
    return tasks_of(source, "test", recipe.environment)


def _shares(tell: Tell, place: int = 0, parts: int = 1) -> Callable[[int, int], None]:
    """Tells how much of a phase is done that has equal parts, of which this is one."""
    return lambda done, of: tell(Share((place + done / of) / parts))


def work_of(out: Path, plan: Plan, recipe: Recipe, path: Path, seed: int, *, trained: bool) -> RunWork:
    """One run of an arm (or of the start policy) with a seed."""
    return RunWork(
        path=path,
        tasks=out / "tasks",
        recipe=run_recipe(recipe, out, seed),
        budget=plan.budget,
        probe_samples=plan.probe.samples,
        trained=trained,
        others=plan.evaluation.also,
    )


def preparing(out: Path, plan: Plan) -> Callable[[Tell], None]:
    """`prepare`, to be sent to a worker."""
    return partial(prepare, out, plan)
