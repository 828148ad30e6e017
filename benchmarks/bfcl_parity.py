"""Our BFCL against the official package's own answers: prompts, decoding, logs, verdicts, and its evaluator on our files.

    python benchmarks/bfcl_parity.py                                        # against the committed fixtures
    python benchmarks/bfcl_parity.py --bfcl .venv-official/bin/bfcl         # and the official evaluator on files we wrote

The fixtures are what the official package answered: `make official-bfcl` makes them anew, benchmarks/official_bfcl/README.md
says what they hold. Writes benchmarks/results/bfcl_parity.md.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import track

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.environments.bfcl.official import Category
from fission_grpo.evaluation.bfcl.checking import Job, judge_all
from fission_grpo.evaluation.bfcl.replay import decode_turns
from fission_grpo.evaluation.bfcl.results import ResultFolder
from official_bfcl.calls import STYLES, Style
from official_bfcl.parity import HANDLERS, compare_prompts, jobs, play, table

OUT = Path(__file__).parent / "results" / "bfcl_parity.md"
CONSOLE = Console()
COLUMNS = {"multi_turn_base": "Base", "multi_turn_miss_func": "Miss Func", "multi_turn_miss_param": "Miss Param"} | {
    "multi_turn_long_context": "Long Context"
}


def prompt_lines() -> list[str]:
    """One row a handler: how many tasks agree in number of queries, prompts, results and inference logs."""
    lines = [
        "| handler | tasks | prompts | queries equal | prompts equal | results equal | logs equal |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for style in STYLES:
        compared = list(track(compare_prompts(style), f"Prompts, {style}", total=800, console=CONSOLE))
        equal = [sum(c.ours[part] == c.official[part] for c in compared) for part in range(4)]
        queries = sum(int(c.official[0]) for c in compared)
        cells = " | ".join(f"{count}/{len(compared)}" for count in equal)
        lines.append(f"| {style} | {len(compared)} | {queries} | {cells} |")
    return lines


def verdict_lines() -> list[str]:
    """One row a handler and a kind of entry: how many verdicts and error types agree."""
    lines = ["| handler | entries | of them valid | verdicts equal | error types equal |", "|---|--:|--:|--:|--:|"]
    for style in STYLES:
        fixtures = list(track(jobs(style), f"Entries, {style}", total=4000, console=CONSOLE))
        judged = [found.verdict for found in judge_all([fixture.job for fixture in fixtures])]
        for name, wanted in (("reference", True), ("corrupted or truncated", False)):
            pairs = [
                (fixture, verdict)
                for fixture, verdict in zip(fixtures, judged, strict=True)
                if (fixture.kind == "reference") is wanted and verdict is not None
            ]
            valid = sum(fixture.valid for fixture, _ in pairs)
            verdicts = sum(fixture.valid == verdict.valid for fixture, verdict in pairs)
            types = sum(fixture.error_type == verdict.error_type.removeprefix("multi_turn:") for fixture, verdict in pairs)
            lines.append(f"| {style}, {name} | {len(pairs)} | {valid} | {verdicts} | {types} |")
    return lines


def kind_count() -> str:
    kinds = {style: Counter(row["kind"] for row in table(f"verdicts_{style}.tsv")) for style in STYLES}
    return ", ".join(f"{len(counts) - 1} kinds of corruption for {style}" for style, counts in kinds.items())


def evaluator_lines(bfcl: Path) -> list[str]:
    """The official evaluator on result files that we wrote, all 800 entries a handler, beside our own scores of them."""
    lines = ["| handler | category | official evaluator, % | ours, % | entries |", "|---|---|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as scratch:
        for style in STYLES:
            ours = _write_results(style, Path(scratch) / style)
            official = _evaluate(bfcl, style, Path(scratch) / style)
            for category in CATEGORIES:
                valid, entries = sum(ours[category]), len(ours[category])
                cells = f"{official[category]:.2f} | {100 * valid / entries:.2f} | {entries}"
                lines.append(f"| {style} | {category.removeprefix('multi_turn_')} | {cells} |")
    return lines


def category_of(task_id: str) -> Category:
    return cast(Category, task_id.rpartition("_")[0])


def _write_results(style: Style, root: Path) -> dict[Category, list[bool]]:
    """Plays the scripted model on all tasks, writes the result files, and judges them: the verdicts by category."""
    folder = ResultFolder(root / HANDLERS[style].official_name.replace("/", "_"))
    todo: list[Job] = []
    for row in track(table(f"prompts_{style}.tsv"), f"Playing, {style}", console=CONSOLE):
        _, line = play(row["task"], style)
        folder.append(category_of(row["task"]), line)
        todo.append(Job(row["task"], decode_turns(line["result"], HANDLERS[style].decode), "model"))
    verdicts: dict[Category, list[bool]] = {category: [] for category in CATEGORIES}
    for judged in judge_all(todo):
        verdicts[category_of(judged.job.task_id)].append(judged.verdict is not None and judged.verdict.valid)
    return verdicts


def _evaluate(bfcl: Path, style: Style, root: Path) -> dict[str, float]:
    model, scores = HANDLERS[style].official_name, root / "score"
    command = [
        bfcl,
        "evaluate",
        "--model",
        model,
        "--test-category",
        "multi_turn",
        "--result-dir",
        root,
        "--score-dir",
        scores,
    ]
    environment = os.environ | {"BFCL_PROJECT_ROOT": str(root)}
    with CONSOLE.status(f"The official evaluator, {style}"):
        subprocess.run([*map(str, command), "--partial-eval"], check=True, capture_output=True, env=environment)
    with (scores / "data_multi_turn.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    return {category: float(row[column].rstrip("%")) for category, column in COLUMNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bfcl", type=Path, help="the `bfcl` command of an environment with the full official package")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    command = "python benchmarks/bfcl_parity.py" + (" --bfcl .venv-official/bin/bfcl" if options.bfcl else "")
    lines = [
        "# Parity with the official BFCL package",
        "",
        f"`{command}`, bfcl-eval {version('bfcl-eval')}, Python {sys.version_info.major}.{sys.version_info.minor}.",
        "",
        "A scripted model plays all 800 tasks in every manner that the official handlers treat specially. Equal means equal",
        "hashes of all prompts of a task (of its result, of its inference log). Of the log, the words of decoding errors",
        "are left out: no model sees them, and Python words them anew by version.",
        "",
        *prompt_lines(),
        "",
        f"Verdicts of entries, against the official evaluator's ({kind_count()}):",
        "",
        *verdict_lines(),
    ]
    if options.bfcl:
        lines += [
            "",
            "The official evaluator's command on the result files that we wrote, unchanged:",
            "",
            *evaluator_lines(options.bfcl),
        ]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
