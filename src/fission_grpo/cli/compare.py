"""`fission compare`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fission_grpo.cli.terminal import interruptible, quoted
from fission_grpo.cli.train import RUNS

_NAME_LENGTH = 100


def compare(
    recipes: Annotated[list[Path], typer.Argument(help="One comparison recipe (`arms: ...`), or training recipes as arms.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of every arm; more later only add runs.")] = 3,
    fast: Annotated[bool, typer.Option("--fast", help="Minutes: shows that it works, not what learns better.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; what is finished in it is kept. Default: runs/RECIPE.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; default: one a GPU, else one a core.")] = None,
    budget: Annotated[int | None, typer.Option(help="Tokens processed by a run; wins over the recipe's.", min=1)] = None,
) -> None:
    """Train and evaluate several recipes at an equal budget, with paired seeds, and write their table.

    Example: fission compare recipes/compare_small.yaml --seeds 2 --fast
    """
    from fission_grpo.rollout.cpu import configure_cpu

    configure_cpu(threads=1)  # of this process, before numpy is imported: the workers have the cores
    from fission_grpo.comparison.plan import load_plan
    from fission_grpo.comparison.run import run_comparison
    from fission_grpo.reports.comparison_progress import QueueDisplay
    from fission_grpo.reports.comparison_text import rich_table

    console = Console()
    plan = load_plan(recipes, budget=budget, fast=fast)
    folder = out or RUNS / ("-".join(path.stem for path in recipes)[:_NAME_LENGTH] + ("-fast" if fast else ""))
    options = [f"--seeds {seeds}", *(["--fast"] if fast else []), *([f"--budget {budget}"] if budget else [])]
    place = [f"--out {shlex.quote(str(out))}"] if out else []
    command = " ".join(["fission compare", *(shlex.quote(str(path)) for path in recipes), *options, *place])
    with interruptible(console, f"`{command}` continues"):
        for arm in plan.arms:
            console.print(quoted(arm.describe()), highlight=False)
        console.print(f"{plan.budget:,} tokens a run; seeds: {seeds}. Folder: {folder}", highlight=False, soft_wrap=True)
        outcome = run_comparison(
            plan,
            folder,
            seeds,
            command=command,
            display=lambda runs, finished: QueueDisplay(runs, finished, console),
            jobs=jobs,
        )
    if outcome.table is not None:
        console.print()
        console.print(rich_table(outcome.table))
        console.print(
            f"\nTable: {folder / 'comparison.md'}  Report: {folder / 'report.html'}", highlight=False, soft_wrap=True
        )
    for failure in outcome.failures:
        console.print(
            f"[red]{quoted(failure.name)} failed:[/] {quoted(failure.sentence)}; log: {failure.log}", soft_wrap=True
        )
    if outcome.failures:
        console.print(f"`{command}` tries again what is missing.", soft_wrap=True, highlight=False)
        raise typer.Exit(1)
