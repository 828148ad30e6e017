"""`fission eval bfcl`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fission_grpo.cli.evaluation_panels import ENDPOINT, INCOMPLETE, LOCAL, OUTPUT, SAMPLING, WHAT
from fission_grpo.cli.terminal import interruptible, progress_bars, quoted
from fission_grpo.errors import UserError

if TYPE_CHECKING:
    from fission_grpo.evaluation.bfcl.options import Options
    from fission_grpo.evaluation.bfcl.summary import ModelSummary


def bfcl(
    model: Annotated[
        str, typer.Option(help="bundled, a folder, a name of the hub, or the endpoint's name for it.", rich_help_panel=WHAT)
    ] = "",
    from_results: Annotated[
        Path | None,
        typer.Option(
            help="Play nothing: judge result files of bfcl-eval, of any models, anywhere below this folder.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="base, miss_func, miss_param or long_context; give it again for more. Default: all four.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Entries in all, spread evenly over the categories. Default: all 800.", rich_help_panel=WHAT),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="How to prompt and read: qwen-fc, prompting, template (local models), tool-calls (endpoints), or auto.",
            rich_help_panel=WHAT,
        ),
    ] = "auto",
    temperature: Annotated[
        float, typer.Option(min=0.0, help="bfcl-eval's own is 0.001; recovery shows at 1.", rich_help_panel=SAMPLING)
    ] = 0.001,
    samples: Annotated[int, typer.Option(min=1, help="How often each entry is played.", rich_help_panel=SAMPLING)] = 1,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Longest message, in tokens; bfcl-eval's is 4096.", rich_help_panel=SAMPLING)
    ] = 4096,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**31 - 1, help="Of all that is drawn here; an endpoint may ignore it.", rich_help_panel=SAMPLING
        ),
    ] = 0,
    backend: Annotated[str, typer.Option(help="transformers or vllm.", rich_help_panel=LOCAL)] = "transformers",
    batch_size: Annotated[
        int, typer.Option(min=1, help="Entries played at once; each holds its dialogue in memory.", rich_help_panel=LOCAL)
    ] = 8,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 ... Default: a GPU where there is one.", rich_help_panel=LOCAL)
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=LOCAL)] = "auto",
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint, e.g. http://localhost:8000/v1. Its key: OPENAI_API_KEY.",
            rich_help_panel=ENDPOINT,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at a time.", rich_help_panel=ENDPOINT)] = 16,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds within which an answer must be there.", rich_help_panel=ENDPOINT)
    ] = 600.0,
    retries: Annotated[
        int, typer.Option(min=0, help="Further tries of a failed request, with growing waits.", rich_help_panel=ENDPOINT)
    ] = 6,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder. Default: runs/eval/bfcl-MODEL, where a second call goes on; runs/eval/results-FOLDER.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """BFCL v4 Multi-Turn: official scores, and how the model recovers.

    Prompts, decoding and scores are bfcl-eval's, and so is the format of the result files. A second call with the same
    folder plays only what is missing. Exit status: 0 done, 2 a mistake in the command, 3 entries are missing because the
    infrastructure failed, 130 stopped.

    Example: fission eval bfcl --model Qwen/Qwen3-1.7B --limit 20

    Example: fission eval bfcl --model NAME --base-url http://localhost:8000/v1

    Example: fission eval bfcl --model Qwen/Qwen3-1.7B --samples 4 --temperature 1

    Example: fission eval bfcl --from-results result/ --out report/
    """
    from fission_grpo.evaluation.bfcl.options import Options, results_folder

    console = Console()
    if from_results is not None:
        _check_alone(from_results, {"--model": model, "--category": category, "--limit": limit, "--base-url": base_url})
        _judge_results(from_results, out or results_folder(from_results), console)
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
    with interruptible(console, "the same command goes on where it stopped"):
        _play(options, console)


def _play(options: "Options", console: Console) -> None:
    from fission_grpo.evaluation.bfcl.options import check_options, plan
    from fission_grpo.evaluation.bfcl.run import play_all, summarise_run, unfinished
    from fission_grpo.evaluation.out_folder import open_folder, save_failures

    check_options(options)
    with console.status("Loading the model"):
        run = plan(options)
    if options.base_url is not None and unfinished(run):
        from fission_grpo.endpoint_client import check_reachable

        check_reachable("--base-url", options.base_url)
    open_folder(run.out, asdict(run.settings))
    console.print(f"Folder: {run.out}; format: {run.handler.name}", highlight=False, markup=False, soft_wrap=True)
    total = len(run.entries) * options.samples
    with progress_bars(console) as progress:
        bar = progress.add_task("Playing", total=total)
        failures = play_all(run, lambda done: progress.update(bar, completed=done))
        bar = progress.add_task("Judging", total=total)
        summary = summarise_run(run, lambda done: progress.update(bar, completed=done))
    save_failures(run.out, failures)
    played = f"Temperature {options.temperature:g}; entries: {len(run.entries)}, samples of each: {options.samples}."
    if summary.records:
        _show([summary], run.out, console, [played])
    if failures or summary.missing:
        for reason in list(failures.values())[:1]:
            console.print(f"First infrastructure error: {quoted(reason)}", highlight=False, soft_wrap=True)
        console.print(f"[bold red]Missing: {summary.missing}[/] (infrastructure errors: {len(failures)})", highlight=False)
        console.print(f"See {run.out / 'failures.json'}; the same command plays only those.", markup=False, soft_wrap=True)
        raise typer.Exit(INCOMPLETE)


def _check_alone(from_results: Path, others: Mapping[str, object]) -> None:
    given = [name for name, value in others.items() if value]
    if given:
        raise UserError(
            f"{', '.join(given)}: --from-results {from_results} plays nothing, and judges all that it finds; leave the "
            "others out"
        )


def _judge_results(root: Path, out: Path, console: Console) -> None:
    from fission_grpo.evaluation.bfcl.run import count_lines, save_scores, summarise_results

    total = count_lines(root)
    with interruptible(console, "nothing was written"), progress_bars(console) as progress:
        bar = progress.add_task("Judging", total=total)
        summaries = summarise_results(root, lambda done: progress.update(bar, completed=done))
    save_scores(summaries, out)
    _show(summaries, out, console)


def _show(summaries: "list[ModelSummary]", out: Path, console: Console, notes: list[str] | None = None) -> None:
    from fission_grpo.reports.benchmark import write_benchmark_report
    from fission_grpo.reports.benchmark_tables import notes_of, ranked, recovery_table, score_table

    best_first, report = ranked(summaries), out / "report.html"
    write_benchmark_report(best_first, report, notes or [])
    console.print("", score_table(best_first, console.width), "", recovery_table(best_first, console.width), "")
    for line in [*(notes or []), *notes_of(best_first), f"Report: {report}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
