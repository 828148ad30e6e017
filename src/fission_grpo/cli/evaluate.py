"""`fission eval`: benchmarks, with recovery metrics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fission_grpo.cli.train import interruptible

if TYPE_CHECKING:
    from fission_grpo.evaluation.bfcl.summary import ModelSummary

INCOMPLETE = 3
"""Exit status: some entries are missing, because the infrastructure failed; the same command completes them."""

app = typer.Typer(help="Play benchmarks, and say how a model recovers from its errors.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Play benchmarks, and say how a model recovers from its errors."""


@app.command()
def bfcl(
    model: Annotated[str, typer.Option(help="bundled, a folder, a name of the hub, or an endpoint's name for it.")] = "",
    from_results: Annotated[
        Path | None, typer.Option(help="Judge result files of bfcl-eval instead: a folder with those of any models.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="base, miss_func, miss_param, long_context; repeat it; default: all four.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Entries in all, spread evenly over the categories.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How often each entry is played.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="bfcl-eval's own is 0.001. At 1 recovery shows best.")] = 0.001,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of all sampling here; endpoints may ignore it.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest message, in tokens; bfcl-eval's is 4096.")] = 4096,
    format: Annotated[
        str, typer.Option(help="auto, qwen-fc, prompting, template (local), tool-calls (endpoint): how to prompt and read.")
    ] = "auto",
    backend: Annotated[str, typer.Option(help="transformers or vllm, for local models.")] = "transformers",
    batch_size: Annotated[int, typer.Option(min=1, help="Entries played at once by a local model.")] = 16,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; default: a GPU where there is one.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible endpoint, e.g. http://localhost:8000/v1. Key: OPENAI_API_KEY.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at an endpoint.")] = 16,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds of silence before a request is given up.")] = 600.0,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a failed request, with growing waits.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Folder; default: runs/eval/bfcl-MODEL. The same folder goes on.")] = None,
) -> None:
    """BFCL v4 Multi-Turn: official scores, and how the model recovers.

    Prompts, decoding and scores are bfcl-eval's; the result files are in its format. A second call with the same folder
    plays only what is missing.

    Example: fission eval bfcl --model Qwen/Qwen3-1.7B --limit 20

    Example: fission eval bfcl --model Qwen/Qwen3-8B --base-url http://localhost:8000/v1 --samples 4 --temperature 1

    Example: fission eval bfcl --from-results result/
    """
    from fission_grpo.evaluation.bfcl.options import Options, check_options, plan
    from fission_grpo.evaluation.bfcl.run import open_folder, play_all, save_failures, summarise_run

    console = Console()
    if from_results is not None:
        _judge_results(from_results, out or from_results, console)
        return
    options = Options(
        model=model,
        format=format,
        categories=tuple(category or ()),
        limit=limit,
        samples=samples,
        temperature=temperature,
        seed=seed,
        max_new_tokens=max_new_tokens,
        backend=backend,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        base_url=base_url,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        out=out,
    )
    check_options(options)
    with interruptible(console, "the same command goes on where it stopped"):
        with console.status("Loading the model"):
            run = plan(options)
        open_folder(run)
        console.print(f"Folder: {run.out}; format: {run.handler.name}", highlight=False, soft_wrap=True)
        with _progress(console) as progress:
            bar = progress.add_task("Playing", total=len(run.entries) * samples)
            failures = play_all(run, lambda done: progress.update(bar, completed=done))
            bar = progress.add_task("Judging", total=len(run.entries) * samples)
            summary = summarise_run(run, lambda done: progress.update(bar, completed=done))
        save_failures(run, failures)
    _show([summary], run.out, console, [f"Temperature {temperature:g}, {samples} sample(s) of {len(run.entries)} entries."])
    if failures or summary.missing:
        console.print(
            f"[bold red]{summary.missing} entries are missing[/] ({len(failures)} infrastructure errors, see "
            f"{run.out / 'failures.json'}); the same command plays only those.",
            soft_wrap=True,
        )
        raise typer.Exit(INCOMPLETE)


def _judge_results(root: Path, out: Path, console: Console) -> None:
    from fission_grpo.evaluation.bfcl.run import count_lines, save_scores, summarise_results

    with _progress(console) as progress:
        bar = progress.add_task("Judging", total=count_lines(root))
        summaries = summarise_results(root, lambda done: progress.update(bar, completed=done))
    save_scores(summaries, out)
    _show(summaries, out, console)


def _show(summaries: "list[ModelSummary]", out: Path, console: Console, notes: list[str] | None = None) -> None:
    from fission_grpo.reports.benchmark import notes_of, recovery_table, score_table, write_benchmark_report

    report = out / "report.html"
    write_benchmark_report(summaries, report, notes or [])
    console.print(score_table(summaries), "", recovery_table(summaries), "")
    for note in [*(notes or []), *notes_of(summaries)]:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)
