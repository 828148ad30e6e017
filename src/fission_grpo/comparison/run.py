"""A comparison from beginning to end, or what is left of one: freeze the inputs, do the runs, write the table."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fission_grpo.comparison.folder import check_same, check_tasks, write_plan
from fission_grpo.comparison.plan import Plan
from fission_grpo.comparison.worker import RunWork, preparing, work_of
from fission_grpo.errors import UserError
from fission_grpo.recipe.comparison import START
from fission_grpo.reports.comparison_folder import MANIFEST, run_path
from fission_grpo.reports.comparison_page import write_comparison
from fission_grpo.reports.comparison_progress import QueueDisplay
from fission_grpo.reports.comparison_tables import ComparisonTable
from fission_grpo.reports.data import EVALUATION_FILE, START_FILE
from fission_grpo.workers import Failure, Job, devices_of_machine, run_jobs

Display = Callable[[dict[str, list[str]], int], QueueDisplay]
"""Makes the display of a queue from what its runs have to do, and how many are finished."""
_PREPARING = "preparing"


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to.

    Attributes:
        table: of the finished runs; None where no run is.
        failures: runs that did not end well.
    """

    table: ComparisonTable | None
    failures: Sequence[Failure]


def run_comparison(plan: Plan, out: Path, seeds: int, *, command: str, display: Display, jobs: int | None = None) -> Outcome:
    """Does what is missing of a comparison in a folder, and writes `comparison.md`, `.json` and `.html` into it.

    Args:
        seeds: how many; runs have the seeds 0, 1, ...
        command: how to do it again, for the report.
        jobs: runs at a time; default: one a GPU, else one a core.

    Raises:
        UserError: a mistake in the plan, a folder with another comparison, or another call at work in it.
        KeyboardInterrupt: after the workers have been ended.
    """
    if seeds < 1:
        raise UserError(f"--seeds: found {seeds}, allowed are positive integers")
    devices = devices_of_machine(jobs)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            check_same(out, plan, seeds)
            write_plan(out, plan, seeds, command)
            works = works_of(plan, out, seeds)
            left = {name: work for name, work in works.items() if work.to_do}
            if left and not _is_prepared(plan, out, seeds):
                _prepare(plan, out, display)
                check_tasks(out)
            queue = [Job(name, out / f"{name}.log", work.work) for name, work in left.items()]
            with display({name: work.to_do for name, work in left.items()}, len(works) - len(left)) as shown:
                failures = run_jobs(queue, devices, shown)
            _give_start(works, out)
    except Timeout as error:
        raise UserError(f"--out {out}: another `fission compare` is at work in it; wait for it, or name another") from error
    return Outcome(write_comparison(out), failures)


def works_of(plan: Plan, out: Path, seeds: int) -> dict[str, RunWork]:
    """All runs by the name of their folder, in the order of the queue: by seed first, so that what is finished is pairs."""
    works: dict[str, RunWork] = {}
    for seed in range(seeds):
        for name, recipe in ((START, plan.arms[0].recipe), *((arm.name, arm.recipe) for arm in plan.arms)):
            path = run_path(out, name, seed)
            works[path.name] = work_of(out, plan, recipe, path, seed, trained=name != START)
    return works


def _is_prepared(plan: Plan, out: Path, seeds: int) -> bool:
    """Whether the inputs are frozen, and every arm has passed the check: one that has a run has."""
    begun = [any(run_path(out, arm.name, seed).is_dir() for seed in range(seeds)) for arm in plan.arms]
    return (out / "tasks" / MANIFEST).is_file() and all(begun)


def _give_start(works: Mapping[str, RunWork], out: Path) -> None:
    """Puts the start policy's evaluation into every run folder with the same seed, where `fission report` looks for it."""
    for work in works.values():
        played = run_path(out, START, work.recipe.seed) / EVALUATION_FILE
        if work.trained and work.path.is_dir() and played.is_file():
            shutil.copyfile(played, work.path / START_FILE)


def _prepare(plan: Plan, out: Path, display: Display) -> None:
    phases = ["check"] if (out / "tasks" / MANIFEST).is_file() else ["check", "tasks", "probe set"]
    job = Job(_PREPARING, out / f"{_PREPARING}.log", preparing(out, plan))
    with display({_PREPARING: phases}, 0) as shown:
        failures = run_jobs([job], devices_of_machine(1), shown)
    if failures:
        raise UserError(f"{failures[0].sentence} (log: {failures[0].log})")
