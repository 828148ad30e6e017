"""`fission eval tau2` and `fission eval tau`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fission_grpo.cli.evaluation_panels import ENDPOINT, INCOMPLETE, LOCAL, OUTPUT, SAMPLING, WHAT
from fission_grpo.cli.terminal import interruptible, progress_bars, quoted

if TYPE_CHECKING:
    from fission_grpo.evaluation.tau.options import Options

USER = "The user"

Model = Annotated[
    str, typer.Option(help="bundled, a folder, a name of the hub, or the endpoint's name for it.", rich_help_panel=WHAT)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first tasks of the split. Default: all.", rich_help_panel=WHAT)
]
Trials = Annotated[
    int, typer.Option(min=1, help="k: how often each task is played. More later only add trials.", rich_help_panel=WHAT)
]
User = Annotated[
    str,
    typer.Option(
        help="scripted, or an OpenAI-compatible endpoint such as http://localhost:8123/v1. Its key: OPENAI_API_KEY.",
        rich_help_panel=USER,
    ),
]
UserModel = Annotated[
    str | None,
    typer.Option(help="The endpoint's name for it. Published scores: gpt-4.1 (tau2), gpt-4o (tau).", rich_help_panel=USER),
]
Temperature = Annotated[
    float, typer.Option(min=0.0, help="The protocol's is 0; recovery shows at 1.", rich_help_panel=SAMPLING)
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest message, in tokens.", rich_help_panel=SAMPLING)]
Seed = Annotated[
    int,
    typer.Option(
        min=0, max=2**31 - 1, help="Of all that is drawn here; an endpoint may ignore it.", rich_help_panel=SAMPLING
    ),
]
MaxContextTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Longest conversation. Default: what the model was made for.", rich_help_panel=LOCAL),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Conversations played at once; each is held in memory.", rich_help_panel=LOCAL)
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 ... Default: a GPU where there is one.", rich_help_panel=LOCAL)
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=LOCAL)]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="The model's OpenAI-compatible endpoint, with tool calls. Its key: OPENAI_API_KEY.", rich_help_panel=ENDPOINT
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(min=1, help="Conversations with the endpoint at a time.", rich_help_panel=ENDPOINT),
]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds within which an answer must be there.", rich_help_panel=ENDPOINT)
]
Retries = Annotated[
    int, typer.Option(min=0, help="Further tries of a failed request, with growing waits.", rich_help_panel=ENDPOINT)
]


def tau2(
    domain: Annotated[str, typer.Option(help="retail, airline or telecom.", rich_help_panel=WHAT)],
    model: Model = "",
    solo: Annotated[
        bool, typer.Option("--solo", help="Without a user, from a ticket; telecom alone.", rich_help_panel=WHAT)
    ] = False,
    split: Annotated[
        str, typer.Option(help="base (the benchmark), or its parts train and test.", rich_help_panel=WHAT)
    ] = "base",
    limit: Limit = None,
    trials: Trials = 1,
    user: User = "scripted",
    user_model: UserModel = None,
    temperature: Temperature = 0.0,
    max_new_tokens: MaxNewTokens = 4096,
    seed: Seed = 0,
    max_context_tokens: MaxContextTokens = None,
    batch_size: BatchSize = 8,
    device: Device = None,
    dtype: Dtype = "auto",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = 600.0,
    retries: Retries = 6,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder. Default: runs/eval/tau2-DOMAIN-MODEL, where a second call goes on.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """TAU2-Bench: pass^1 to pass^k by its own evaluator, beside the score of doing nothing.

    A second call with the same folder plays only what is missing. Exit status: 0 done, 2 a mistake in the command, 3
    conversations are missing because the infrastructure failed, 130 stopped.

    Example: fission eval tau2 --domain telecom --solo --model Qwen/Qwen3-1.7B --limit 20

    Example: fission eval tau2 --domain retail --model NAME --base-url http://localhost:8000/v1 --trials 4

    Example: fission eval tau2 --domain retail --model Qwen/Qwen3-1.7B --user https://api.openai.com/v1 --user-model gpt-4.1
    """
    _run("tau2", **locals())


def tau(
    domain: Annotated[str, typer.Option(help="retail or airline.", rich_help_panel=WHAT)],
    model: Model = "",
    split: Annotated[
        str, typer.Option(help="test (the benchmark), or others of the official package.", rich_help_panel=WHAT)
    ] = "test",
    limit: Limit = None,
    trials: Trials = 1,
    user: User = "scripted",
    user_model: UserModel = None,
    temperature: Temperature = 0.0,
    max_new_tokens: MaxNewTokens = 4096,
    seed: Seed = 0,
    max_context_tokens: MaxContextTokens = None,
    batch_size: BatchSize = 8,
    device: Device = None,
    dtype: Dtype = "auto",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = 600.0,
    retries: Retries = 6,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder. Default: runs/eval/tau-DOMAIN-MODEL, where a second call goes on.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """TAU-Bench, the first version: with its official package, else its protocol over TAU2-Bench's tasks, labelled so.

    Otherwise as `fission eval tau2`.

    Example: fission eval tau --domain airline --model Qwen/Qwen3-1.7B --limit 20
    """
    _run("tau", solo=False, **locals())


def _run(benchmark: str, **given: Any) -> None:
    from fission_grpo.evaluation.tau.benchmarks import BENCHMARKS
    from fission_grpo.evaluation.tau.options import Options

    console = Console()
    options = Options(benchmark=BENCHMARKS[benchmark], **given)
    with interruptible(console, "the same command goes on where it stopped"):
        _play(options, console)


def _play(options: "Options", console: Console) -> None:
    from fission_grpo.evaluation.out_folder import open_folder, save_failures
    from fission_grpo.evaluation.tau.options import check_options, plan
    from fission_grpo.evaluation.tau.run import play_all, summarise, unfinished
    from fission_grpo.reports.tau import notes_of, recovery_table, score_table, write_tau_report

    with console.status("Reading the benchmark"):
        check_options(options)
    with console.status("Loading the model"):
        run = plan(options)
    if options.base_url is not None and unfinished(run):
        from fission_grpo.endpoint_client import check_reachable

        check_reachable("--base-url", options.base_url)
    open_folder(run.out, run.settings)
    console.print(f"Folder: {run.out}", highlight=False, markup=False, soft_wrap=True)
    with progress_bars(console) as progress:
        bar = progress.add_task("Playing", total=len(run.tasks) * run.trials)
        failures = play_all(run, lambda done: progress.update(bar, completed=done))
        bar = progress.add_task("Doing nothing, for comparison", total=len(run.tasks))
        summary = summarise(run, len(failures), lambda done: progress.update(bar, completed=done))
    save_failures(run.out, failures)
    if summary.records:
        report = run.out / "report.html"
        write_tau_report(summary, report)
        console.print("", score_table(summary), "", recovery_table(summary), "")
        for line in [*notes_of(summary), f"Report: {report}"]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if failures:
        first = next(iter(failures.values()))
        console.print(f"First infrastructure error: {quoted(first)}", highlight=False, soft_wrap=True)
        console.print(f"[bold red]Missing: {summary.missing}[/] (infrastructure errors: {len(failures)})", highlight=False)
        console.print(f"See {run.out / 'failures.json'}; the same command plays only those.", markup=False, soft_wrap=True)
        raise typer.Exit(INCOMPLETE)
