"""The whole loop on the bundled policy: evaluate it, train it with Fission-GRPO and GRPO side by side, evaluate, report.

Two worker processes, one core each: each plays half of the start policy's evaluation, then trains one method and evaluates
the result. The main process imports no torch: it makes the tasks, shows progress and writes the report. What a stopped
quickstart has finished is kept, and the same command with the same folder takes it up again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fission_grpo.errors import UserError
from fission_grpo.evaluation.records import EpisodeRecord, load_records, save_records
from fission_grpo.recipe import Recipe, load_recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.recipe.methods import METHODS, MethodName
from fission_grpo.reports.data import EVALUATION_FILE, START_FILE, Run, load_runs
from fission_grpo.reports.html import Report, run_report, write_report
from fission_grpo.reports.progress import ProgressDisplay
from fission_grpo.workers import Device, Failure, Job, Tell, run_jobs

ARMS: tuple[MethodName, ...] = ("grpo", "fission")
"""The two arms, the baseline first: it is the left column, and what the difference is taken from."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        train_tasks, test_tasks: generated tasks; no scenario or name is in both.
        samples: episodes a test task.
        updates: policy updates of each method.
    """

    train_tasks: int
    test_tasks: int
    samples: int
    updates: int


FULL = Size(train_tasks=600, test_tasks=300, samples=2, updates=60)
"""Within ten minutes on two cores."""
FAST = Size(train_tasks=60, test_tasks=40, samples=1, updates=4)
"""Within one minute: shows that everything works, not that it learns."""


def quickstart_recipe(method: MethodName, size: Size, tasks: Path) -> Recipe:
    """`recipes/bfcl_quick.yaml` (and `bfcl_quick_grpo.yaml`) in the size of a quickstart, on tasks in a folder."""
    return check_recipe(
        {
            "method": method,
            "tasks": {"train": str(tasks / "train.jsonl"), "test": str(tasks / "test.jsonl")},
            "rollout": {"max_new_tokens": 96, "max_context_tokens": 2048},
            "fission": {"max_context_tokens": 2048, "signal_filter": "outcome"},
            "evaluation": {"tasks": size.test_tasks, "samples": size.samples},
            "trainer": {
                "num_generations": 8,
                "per_device_train_batch_size": 32,
                "gradient_accumulation_steps": 4,
                "learning_rate": 3e-4,
                "lr_scheduler_type": "constant",
                "beta": 0.0,
                "max_steps": size.updates,
                "save_steps": 1,
            },
        }
    )


def run_quickstart(out: Path, size: Size, say: Callable[[str], None], display: ProgressDisplay) -> Report:
    """Does all of it, or what is left of it, in a folder.

    Args:
        say: told what is being done.
        display: shows the two methods, by the titles of `METHODS`.

    Raises:
        UserError: the folder holds a quickstart of another size or something else, or a worker failed.
        KeyboardInterrupt: after the workers have left.
    """
    _check_folder(out)
    recipes: dict[MethodName, Recipe] = {method: quickstart_recipe(method, size, out / "tasks") for method in ARMS}
    for method, recipe in recipes.items():
        _check_same(out / method, recipe)
    _make_tasks(out / "tasks", size, say)
    (out / "start").mkdir(parents=True, exist_ok=True)
    say("Evaluating the start policy, then training and evaluating GRPO and Fission-GRPO side by side")
    parts = [_Part(out, method, recipe, index) for index, (method, recipe) in enumerate(recipes.items())]
    jobs = [Job(part.method, out / f"{part.method}.log", part.work) for part in parts]
    run_jobs(jobs, [Device(threads=1)] * len(jobs), _Watcher(display))
    report = _report(out, size)
    write_report(report, out / "report.html")
    return report


@dataclass(frozen=True)
class _Part:
    """What one worker does: part `index` of the start policy's evaluation, then one method from beginning to end."""

    out: Path
    method: MethodName
    recipe: Recipe
    index: int

    def work(self, tell: Tell) -> None:
        """Does what is missing. Tells a text of what it is doing, or a line of metrics."""
        from fission_grpo.evaluation.models import evaluate_into
        from fission_grpo.tasks.task import load_tasks
        from fission_grpo.training.runs import train

        run, start = self.out / self.method, self.out / "start" / f"part-{self.index}.jsonl"
        tasks = load_tasks(self.out / "tasks" / "test.jsonl")
        if not start.exists():
            tell("playing start")
            evaluate_into(start, self.recipe.model, tasks[self.index :: len(ARMS)], self.recipe)
        if not (run / "model").is_dir():  # it appears once it is whole
            tell("loading")
            train(self.recipe, run, resume=(run / "recipe.yaml").exists(), sinks=[tell])
        if not (run / EVALUATION_FILE).exists():
            tell("playing test")
            evaluate_into(run / EVALUATION_FILE, str(run / "model"), tasks, self.recipe)
        tell("done")


class _Watcher:
    """Shows what the workers tell; the first failure ends the quickstart."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def started(self, name: str) -> None:
        pass

    def told(self, name: str, event: Any) -> None:
        label = METHODS[cast(MethodName, name)].title
        if isinstance(event, str):
            self._display.note(label, event)
        else:
            self._display.update(label, event)

    def ended(self, name: str, failure: Failure | None) -> None:
        if failure is not None:
            raise UserError(f"{METHODS[cast(MethodName, name)].title}: {failure.sentence}; see {failure.log}")


def _check_folder(out: Path) -> None:
    own = {"tasks", "start", "report.html", *ARMS, *(f"{method}.log" for method in ARMS)}
    found = {each.name for each in out.iterdir() if not each.name.startswith(".")} if out.is_dir() else set[str]()
    foreign = sorted(found - own)
    if foreign:
        raise UserError(f"--out {out}: {foreign[0]!r} in it is of no quickstart; name another folder")


def _check_same(run: Path, recipe: Recipe) -> None:
    if (run / "recipe.yaml").exists() and load_recipe(run / "recipe.yaml") != recipe:
        raise UserError(f"--out {run.parent}: there is a quickstart of another size in it; name another folder")


def _make_tasks(folder: Path, size: Size, say: Callable[[str], None]) -> None:
    from fission_grpo.environments.registry import make_environment
    from fission_grpo.tasks.generate import SplitShares, generate_tasks
    from fission_grpo.tasks.mix import Mix
    from fission_grpo.tasks.task import save_tasks

    environment = make_environment("bfcl")
    for split, count in (("train", size.train_tasks), ("test", size.test_tasks)):
        if not (folder / f"{split}.jsonl").exists():
            say(f"Generating {count} {split} tasks, each proven by playing it")
            shares = SplitShares(*(float(split == each) for each in ("train", "validation", "test")))
            tasks = generate_tasks(count, seed=0, environment=environment, mix=Mix.COMPACT, shares=shares)
            save_tasks(tasks, folder / f"{split}.jsonl")


def _report(out: Path, size: Size) -> Report:
    parts = [load_records(part) for part in sorted((out / "start").glob("part-*.jsonl"))]
    start: list[EpisodeRecord] = sorted((record for part in parts for record in part), key=lambda each: each.task_id)
    for method in ARMS:
        save_records(start, out / method / START_FILE)
    runs = load_runs([out / method for method in ARMS])
    return run_report(runs, "Fission-GRPO quickstart", _notes(runs, size))


def _notes(runs: Sequence[Run], size: Size) -> list[str]:
    rows = runs[0].recipe.batch_rows
    spent = "; ".join(f"{run.label} {_tokens(run) / 1e6:.2f} million" for run in runs)
    return [
        f"{size.test_tasks} held-out generated BFCL tasks, {size.samples} episode(s) each, temperature 1; one seed.",
        f"Equal compute: both methods made {size.updates} updates of {rows} rows from the same start policy, with the same "
        f"signal filter ({runs[0].recipe.fission.signal_filter}). "
        f"Tokens processed (prefilled, sampled, trained): {spent}.",
        "At this granularity plain GRPO never trains on an error context, so part of the gap in recovery is built in.",
    ]


def _tokens(run: Run) -> float:
    return sum(sum((step.get("tokens") or {}).values()) for step in run.steps)
