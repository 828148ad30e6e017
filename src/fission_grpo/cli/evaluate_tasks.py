"""`fission eval tasks`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fission_grpo.cli.evaluation_panels import OUTPUT, SAMPLING, WHAT
from fission_grpo.cli.terminal import interruptible, progress_bars, quoted
from fission_grpo.errors import UserError

if TYPE_CHECKING:
    from fission_grpo.evaluation.records import EpisodeRecord
    from fission_grpo.recipe import Recipe
    from fission_grpo.tasks.task import Task


def tasks(
    file: Annotated[Path, typer.Argument(help="A task file; `fission tasks generate` makes one.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="bundled, a folder, or a name of the hub; give it again to compare, the last two with an interval.",
            rich_help_panel=WHAT,
        ),
    ],
    environment: Annotated[
        str, typer.Option(help="Registered name of the environment they are played in.", rich_help_panel=WHAT)
    ] = "bfcl",
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many. Default: all.", rich_help_panel=WHAT)] = None,
    samples: Annotated[int, typer.Option(min=1, help="How often each task is played.", rich_help_panel=SAMPLING)] = 4,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Recovery is defined at 1: greedy decoding hides it.", rich_help_panel=SAMPLING)
    ] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest message, in tokens.", rich_help_panel=SAMPLING)] = 512,
    max_context_tokens: Annotated[
        int, typer.Option(min=1, help="An episode that outgrows it ends there.", rich_help_panel=SAMPLING)
    ] = 8192,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.", rich_help_panel=SAMPLING)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder, where a second call plays only other models. Default: runs/eval/FILE.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """Tasks of your own: what a model solves, and how it recovers, by every metric of the reports.

    Example: fission eval tasks tasks.jsonl --environment notes --model Qwen/Qwen3-0.6B --model runs/notes/model
    """
    from fission_grpo.evaluation.out_folder import open_folder
    from fission_grpo.recipe.loading import check_recipe
    from fission_grpo.reports.data import Evaluation
    from fission_grpo.reports.html import Report, write_report
    from fission_grpo.reports.tables import Comparison, rich_table
    from fission_grpo.tasks.task import load_tasks

    console = Console()
    if environment in ("tau", "tau2"):
        raise UserError(f"--environment: {environment!r} found; its tasks are a benchmark's: `fission eval {environment}`")
    recipe = check_recipe(
        {
            "environment": environment,
            "granularity": "episode",
            "tasks": {"train": str(file), "test": str(file)},
            "rollout": {"max_new_tokens": max_new_tokens, "max_context_tokens": max_context_tokens},
            "evaluation": {"samples": samples, "temperature": temperature},
            "seed": seed,
        },
        "fission eval tasks",
    )
    found = load_tasks(file)[:limit]
    folder = out or Path("runs") / "eval" / file.stem
    models = _by_file(model)
    titles = _titles(model)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    open_folder(
        folder,
        recipe.model_dump(mode="json", include={"environment", "rollout", "evaluation", "seed"})
        | {"tasks": digest, "limit": limit},
    )
    with interruptible(console, "the same command goes on with what is missing"):
        evaluations = [
            Evaluation(titles[each], _records(folder / name, titles[each], each, found, recipe, console))
            for name, each in models.items()
        ]
    notes = [f"{file}: {len(found)} tasks, {samples} episodes each, temperature {temperature:g}, seed {seed}."]
    report = Report(f"Tasks of {file.name}", evaluations, runs=(), notes=notes)
    write_report(report, folder / "report.html")
    console.print(rich_table(Comparison(evaluations)))
    console.print(f"{notes[0]} Records: {folder}\nReport: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _by_file(models: list[str]) -> dict[str, str]:
    """The models, which are all there, by the names of their files.

    Raises:
        UserError: one is not there, or two would have one file.
    """
    from fission_grpo.rollout.loading import resolve_model

    named: dict[str, str] = {}
    for model in models:
        resolve_model(model)
        file = f"{model.strip('./').replace('/', '-')}.jsonl"
        if file in named:
            raise UserError(f"--model: {model!r} found twice; every model once is allowed")
        named[file] = model
    return named


def _titles(models: list[str]) -> dict[str, str]:
    """What tables call the models: the last part of their names, where that tells them apart.

    >>> _titles(["Qwen/Qwen3-0.6B", "runs/notes/model"])
    {'Qwen/Qwen3-0.6B': 'Qwen3-0.6B', 'runs/notes/model': 'notes'}
    """
    short = {model: Path(model.rstrip("/").removesuffix("/model")).name or model for model in models}
    return short if len(set(short.values())) == len(short) else {model: model for model in models}


def _records(
    file: Path, title: str, model: str, found: "list[Task]", recipe: "Recipe", console: Console
) -> "Sequence[EpisodeRecord]":
    """What a model did: read, where it has played before."""
    from fission_grpo.evaluation.models import evaluate_into
    from fission_grpo.evaluation.records import load_records

    if not file.exists():
        with progress_bars(console) as progress:
            bar = progress.add_task(quoted(title), total=len(found) * recipe.evaluation.samples)
            evaluate_into(file, model, found, recipe, lambda done, of: progress.update(bar, completed=done, total=of))
    return load_records(file)
