"""`fission simulator`: collect, train and evaluate an Error Simulator."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fission_grpo.cli.terminal import free_folder, interruptible, progress_bars
from fission_grpo.errors import UserError

if TYPE_CHECKING:
    from fission_grpo.simulators.base import Simulator
    from fission_grpo.training.simulator.collect import Collection
    from fission_grpo.training.simulator.evaluate import Evaluation

app = typer.Typer(help="Build an Error Simulator: collect examples, fine-tune a model, evaluate it.", no_args_is_help=True)

BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")]
Endpoint = Annotated[str | None, typer.Option("--endpoint-model", help="The model's name at --base-url.")]


@app.command()
def collect(
    source: Annotated[
        Path, typer.Argument(help="A recipe (samples its policy anew), a run folder, or a folder of `fission eval bfcl`.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for train.jsonl, validation.jsonl and test.jsonl.")] = Path(
        "simulator-data"
    ),
    count: Annotated[int, typer.Option(min=1, help="Failures to collect.")] = 2000,
    model: Annotated[str | None, typer.Option(help="Sample this policy instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling.")] = 0,
    base_url: BaseUrl = None,
    endpoint_model: Endpoint = None,
) -> None:
    """Collect failures and their target diagnoses: by the rules, or by an endpoint as teacher (--base-url).

    Example: fission simulator collect recipes/bfcl_quick.yaml --out simulator-data
    """
    console = Console()
    with _working(console, "Loading torch", "nothing was written; the same command begins anew") as advance:
        from fission_grpo.training.simulator.collect import collect as collect_into

        cache = out.resolve()
        teacher = _endpoint(base_url, endpoint_model, cache.with_name(f"{cache.name}-cache.jsonl"))
        collected = collect_into(source, out, count=count, seed=seed, model=model, teacher=teacher, progress=advance)
    console.print(_collection_table(collected))
    if collected.failures < count:
        console.print(f"Fewer failures than the {count} asked for: that is all that this source gives.", highlight=False)
    console.print(f"Next: fission simulator train recipes/simulator_bundled.yaml data={out}", highlight=False)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A simulator recipe (YAML): recipes/simulator_*.yaml.")],
    settings: Annotated[list[str] | None, typer.Argument(help="`key.sub=value` settings that win over the recipe.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: simulators/RECIPE, numbered.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest whole checkpoint in --out.")] = False,
) -> None:
    """Fine-tune a language model as the Error Simulator.

    Example: fission simulator train recipes/simulator_bundled.yaml data=simulator-data --out simulators/bundled
    """
    if resume and out is None:
        raise UserError("--resume: name the folder to go on with (--out)")
    folder = out or free_folder(Path("simulators") / recipe.stem.removeprefix("simulator_"))
    console = Console()
    console.print(f"Folder: {folder}", highlight=False)
    with _working(console, "Loading torch", f"the same command with `--resume --out {folder}` goes on") as advance:
        from fission_grpo.recipe import load_simulator_recipe
        from fission_grpo.training.simulator.sft import train_simulator, trainer_fields

        resolved = load_simulator_recipe(recipe, settings or (), trainer_fields())
        model = train_simulator(resolved, folder, resume=resume, sink=advance)
    console.print(
        f"Simulator: {model}\nNext: fission simulator evaluate {model}\n"
        f"      fission train recipes/bfcl_simulator.yaml simulator.local.model={model}",
        highlight=False,
    )


@app.command()
def evaluate(
    simulators: Annotated[
        list[str] | None, typer.Argument(help="Folders of simulators, or names on the hub. The rules are always there.")
    ] = None,
    recipe: Annotated[Path, typer.Option(help="Whose held-out tasks, policy and limits are taken.")] = Path(
        "recipes/bfcl_quick.yaml"
    ),
    policy: Annotated[str | None, typer.Option(help="The policy that fails and recovers; default: the recipe's.")] = None,
    reader: Annotated[str | None, typer.Option(help="The model that tries to answer from feedback alone.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Failures.")] = 300,
    samples: Annotated[int, typer.Option(min=1, help="Recoveries of every failure.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of all sampling.")] = 0,
    labels: Annotated[Path | None, typer.Option(help="Failures labelled by hand (JSONL).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report, table and figures; default: simulator-report, numbered."),
    ] = None,
    base_url: BaseUrl = None,
    endpoint_model: Endpoint = None,
) -> None:
    """Evaluate simulators on fresh failures: leaks, agreement, specificity, utility, answer gain.

    Example: fission simulator evaluate simulators/bundled/model --recipe recipes/bfcl_quick.yaml --count 300
    """
    console, folder = Console(), out or free_folder(Path("simulator-report"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out {folder}: it is not empty; give a new folder")
    if not simulators and base_url is None:
        raise UserError("no simulator: name a folder such as simulators/bundled/model, or give --base-url")
    with _working(console, "Loading torch", "nothing was written") as advance:
        from fission_grpo.recipe import load_recipe
        from fission_grpo.rollout.loading import resolve_model
        from fission_grpo.training.simulator.evaluate import evaluate_simulators, load_labels
        from fission_grpo.training.simulator.serving import simulator_by_name

        endpoint = _endpoint(base_url, endpoint_model, folder / "endpoint-cache.jsonl")
        resolved, labelled = load_recipe(recipe), load_labels(labels) if labels else None
        for name in filter(None, (policy, reader)):
            resolve_model(name)
        chosen = [(name, simulator_by_name(name)) for name in simulators or ()]
        chosen += [(f"{endpoint_model} (endpoint)", endpoint)] if endpoint is not None else []
        evaluation = evaluate_simulators(
            resolved,
            chosen,
            count=count,
            samples=samples,
            seed=seed,
            policy=policy,
            reader=reader,
            labelled=labelled,
            progress=advance,
        )
    _show_evaluation(evaluation, folder, console)


def _show_evaluation(evaluation: "Evaluation", folder: Path, console: Console) -> None:
    """Writes the reports and prints their tables."""
    from fission_grpo.reports.simulator import markdown, rich_tables, write_simulator_report

    folder.mkdir(parents=True, exist_ok=True)
    evaluation.save(folder / "evaluation.json")
    (folder / "table.md").write_text(markdown(evaluation), encoding="utf-8")
    write_simulator_report(evaluation, folder / "report.html")
    for table in rich_tables(evaluation, console.width):
        console.print("", table)
    failures = evaluation.settings["failures"]
    for result in evaluation.results:
        served = result.counts.get("answered/rules", 0)
        if served and result.name != "rules":
            console.print(f"{result.name}: for {served} of {failures} failures the rules stood in.", highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False)


@contextmanager
def _working(console: Console, first: str, advice: str) -> Generator[Callable[[str, int, int], None]]:
    """A progress bar that changes its subject."""
    from fission_grpo.rollout.cpu import configure_cpu

    configure_cpu()
    with interruptible(console, advice), progress_bars(console) as progress:
        bar = progress.add_task(first, total=None)
        yield lambda text, done, of: progress.update(bar, description=text, completed=done, total=of)


def _endpoint(base_url: str | None, model: str | None, cache: Path) -> "Simulator | None":
    if (base_url is None) != (model is None):
        raise UserError(f"--base-url {base_url}, --endpoint-model {model}: the two go together")
    if base_url is None or model is None:
        return None
    from fission_grpo.simulators.cache import ReplyCache
    from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator

    endpoint = EndpointSimulator(EndpointOptions(base_url, model), ReplyCache(cache))
    endpoint.check()
    return endpoint


def _collection_table(collection: "Collection") -> Table:
    table = Table(title=f"{collection.failures} failures; teacher: {collection.teacher}", show_edge=False)
    for head in ("file", "examples", "", "filter", "failures", "", "kind", "examples"):
        table.add_column(head, justify="right" if head in ("examples", "failures") else "left")
    columns = (collection.parts, collection.filtered, collection.kinds)
    for row in range(max(map(len, columns))):
        cells = [list(counts.items())[row] if row < len(counts) else ("", "") for counts in columns]
        table.add_row(*map(str, (*cells[0], "", *cells[1], "", *cells[2])))
    return table
