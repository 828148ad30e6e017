"""`fission train` and `fission resume`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fission_grpo.cli.terminal import free_folder, interruptible
from fission_grpo.launcher import is_main_process

if TYPE_CHECKING:
    from fission_grpo.recipe import Recipe

RUNS = Path("runs")
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML); `recipes/` holds some to copy.")],
    settings: Annotated[list[str] | None, typer.Argument(help="`key.sub=value` settings that win over the recipe.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; default: runs/RECIPE, numbered.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything but the weights: recipe, tasks, token lengths, memory.")
    ] = False,
) -> None:
    """Train one run from a recipe.

    Example: fission train recipes/bfcl_quick.yaml trainer.max_steps=3

    On several GPUs: accelerate launch --multi_gpu --num_processes 8 -m fission_grpo train RECIPE
    """
    from fission_grpo.recipe import load_recipe

    resolved = load_recipe(recipe, settings or ())
    if dry_run:
        _dry_run(resolved)
        return
    folder = run or free_folder(RUNS / recipe.stem)
    _train(resolved, folder, resume=False)


def resume(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="`key.sub=value` settings that may change within a run (docs/runs.md).")
    ] = None,
    trust_checkpoint: Annotated[
        bool,
        typer.Option("--trust-checkpoint", help="Read a checkpoint of another machine or user: it can run any code here."),
    ] = False,
) -> None:
    """Continue a run from its newest whole checkpoint.

    Example: fission resume runs/bfcl_quick

    Train it longer: fission resume runs/bfcl_quick trainer.max_steps=200
    """
    from fission_grpo.errors import UserError
    from fission_grpo.recipe import load_recipe

    if not (run / "recipe.yaml").is_file():
        raise UserError(f"run {run}: no run folder, it has no recipe.yaml; `fission train RECIPE --run {run}` starts a run")
    recipe = load_recipe(run / "recipe.yaml", settings or ())
    if settings:
        from fission_grpo.training.run_folder import check_changes

        check_changes(load_recipe(run / "recipe.yaml"), recipe)
    _train(recipe, run, resume=True, trusted=trust_checkpoint)


def _dry_run(recipe: "Recipe") -> None:
    from fission_grpo.cli.dry_run import show_dry_run
    from fission_grpo.rollout.cpu import configure_cpu

    console = Console(quiet=not is_main_process())
    configure_cpu()
    with console.status("Loading torch"):
        from fission_grpo.training.dry_run import dry_run
    with Progress(*_COLUMNS, console=console) as progress:
        bar = progress.add_task("")
        found = dry_run(recipe, lambda what, done, of: progress.update(bar, description=what, completed=done, total=of))
    show_dry_run(console, recipe, found)
    if found.problems:
        raise typer.Exit(1)


def _train(recipe: "Recipe", run: Path, *, resume: bool, trusted: bool = False) -> None:
    from fission_grpo.reports.progress import ProgressDisplay
    from fission_grpo.rollout.cpu import configure_cpu

    console = Console(quiet=not is_main_process())
    configure_cpu()
    label = run.resolve().name
    with interruptible(console, f"`fission resume {run}` continues"):
        with console.status("Loading torch"):
            from fission_grpo.training.runs import train as train_run
        with ProgressDisplay({label: recipe.trainer.get("max_steps")}, console) as display:
            sinks, tell = [display.sink(label)], partial(console.print, "Run folder:", highlight=False)
            train_run(recipe, run, resume=resume, trusted=trusted, sinks=sinks, started=tell)
        if recipe.evaluation.tasks and is_main_process():
            _evaluate(recipe, run, console)
    console.print(f"Trained policy: {run / 'model'}\nNext: fission report {run}", highlight=False)


def _evaluate(recipe: "Recipe", run: Path, console: Console) -> None:
    from fission_grpo.evaluation.models import evaluate_into
    from fission_grpo.reports.data import EVALUATION_FILE, START_FILE
    from fission_grpo.training.runs import tasks_of

    tasks = tasks_of(recipe.tasks.test, "test", recipe.environment)[: recipe.evaluation.tasks]
    for title, model, file in (("start", recipe.model, START_FILE), ("trained", str(run / "model"), EVALUATION_FILE)):
        if file == START_FILE and (run / file).exists():  # the run was continued, and its start is what it was
            continue
        with console.status(f"Playing {len(tasks)} test tasks with the {title} policy") as status:
            text = status.status
            evaluate_into(
                run / file, model, tasks, recipe, lambda done, of, text=text: status.update(f"{text}: {done}/{of}")
            )
