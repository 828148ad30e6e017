"""`fission tasks`: generate new tasks, look at task files, and convert them."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fission_grpo.cli.terminal import quoted
from fission_grpo.environments.base import Environment
from fission_grpo.environments.registry import make_environment
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.proof import careless_results
from fission_grpo.tasks.splits import check_folder, write_splits
from fission_grpo.tasks.task import Task, load_tasks
from fission_grpo.types import ToolCall

app = typer.Typer(help="Generate new tasks, look at task files, and convert them.", no_args_is_help=True)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl, validation.jsonl, test.jsonl and manifest.json.")],
    count: Annotated[int, typer.Option(min=1, help="How many tasks, over all splits (80/10/10).")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed, count and mix give the same files.")] = 0,
    mix: Annotated[
        Mix, typer.Option(help="compact: short tasks that the bundled policy can play; benchmark: the shape of BFCL's.")
    ] = Mix.BENCHMARK,
) -> None:
    """Generate new tasks over the API classes of bfcl-eval, each proven by playing it.

    Example: fission tasks generate --out tasks --count 5000 --seed 0 --mix compact
    """
    console = Console()
    check_folder(out)
    environment = make_environment("bfcl")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Generating and proving tasks", total=count)
        tasks = generate_tasks(count, seed, environment, mix=mix, on_task=lambda: progress.advance(bar))
    command = f"fission tasks generate --out {out} --count {count} --seed {seed} --mix {mix}"
    manifest = write_splits(tasks, out, command=command, seed=seed)
    table = Table("file", "tasks", "hidden hazard", "open hazard", "sha256", title=f"Written to {out}")
    for name, entry in manifest["files"].items():
        counts = (str(entry["tags"].get(tag, 0)) for tag in ("hidden_hazard", "open_hazard"))
        table.add_row(quoted(name), str(entry["tasks"]), *counts, entry["sha256"][:12])
    console.print(table)
    console.print(f"Next: fission tasks inspect {out / 'train.jsonl'}")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A task file (JSONL).")],
    samples: Annotated[int, typer.Option(min=0, help="How many tasks to show in full.")] = 3,
    seed: Annotated[int, typer.Option(help="Which tasks are shown.")] = 0,
) -> None:
    """Count what a task file holds, and show a few of its tasks with the errors that careless calls meet.

    Example: fission tasks inspect tasks/train.jsonl --samples 5
    """
    console = Console()
    tasks = load_tasks(file)
    scenarios = len({task.scenario for task in tasks})
    console.print(f"{file}: {len(tasks)} tasks, {scenarios} scenarios, {sum(len(task.turns) for task in tasks)} user turns")
    console.print(_count_table("API class", (name for task in tasks for name in task.classes), len(tasks)))
    for prefix, title in (("category:", "category"), ("family:", "family"), ("hazard:", "hazard"), ("", "other tags")):
        names = [name for task in tasks for tag in task.tags if (name := _tag(tag, prefix)) is not None]
        if names:
            console.print(_count_table(title, names, len(tasks)))
    environments: dict[str, Environment] = {}
    for task in Random(seed).sample(tasks, min(samples, len(tasks))):
        if task.environment not in environments:
            environments[task.environment] = make_environment(task.environment)
        console.print(_sample_panel(task, environments[task.environment]))


def _tag(tag: str, prefix: str) -> str | None:
    """The tag without its prefix, or None where it has another one."""
    found, _, name = tag.rpartition(":")
    return name if found == prefix.rstrip(":") else None


def _count_table(title: str, names: Iterable[str], total: int) -> Table:
    table = Table(title, "tasks", "share")
    for name, count in Counter(names).most_common():
        table.add_row(quoted(name), str(count), f"{count / total:.1%}")
    return table


def _sample_panel(task: Task, environment: Environment) -> Panel:
    errors = list(zip(task.careless, careless_results(task, environment), strict=True))
    lines: list[str] = []
    for index, turn in enumerate(task.turns):
        lines += [f"[bold]{quoted(str(message['role']))}[/]  {quoted(str(message['content']))}" for message in turn.messages]
        for careless, result in errors:
            if careless.turn == index:
                lines.append(f"  [yellow]careless[/]   {_shown(careless.call)}")
                lines.append(f"  [red]error[/]      {quoted(result.content)}")
        lines += [f"  [yellow]withheld[/]   {quoted(name)}, until here" for name in turn.new_tools]
        lines += [f"  [green]reference[/]  {', '.join(map(_shown, message))}" for message in turn.reference]
        lines += [] if turn.reference else ["  [green]reference[/]  nothing is to be called"]
    tools = ", ".join(task.tools) or f"all of {', '.join(task.classes)}"
    lines.append(f"[dim]tools: {quoted(tools)}[/]")
    return Panel("\n".join(lines), title=f"{quoted(task.id)}  [dim]{quoted(', '.join(task.tags))}[/]", title_align="left")


def _shown(call: ToolCall) -> str:
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    return quoted(f"{call.name}({arguments})")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A task file, or step rows in any of the three layouts.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to be written: .jsonl or .parquet.")],
    to: Annotated[
        Literal["steps", "trl", "verl"] | None,
        typer.Option(help="Layout of OUTPUT; default: `steps` for .jsonl, `trl` for .parquet."),
    ] = None,
) -> None:
    """Turn tasks into step instances for other trainers, and step instances from one layout into another.

    Example: fission tasks convert tasks/train.jsonl train.parquet --to verl
    """
    from fission_grpo.environments.conversion import convert as convert_file

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Converting", total=None)
        done = convert_file(source, target, to, lambda total: progress.update(bar, total=total, advance=1))
    console.print(f"{source} ({done.read}) -> {target} ({done.written}): {done.rows} rows", highlight=False, soft_wrap=True)
    if done.ignored:
        console.print(f"Left out, unknown to this layout: {', '.join(done.ignored)}", highlight=False, soft_wrap=True)
