"""The verdicts of the official evaluator on the references and on corrupted plays of them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bfcl_eval.eval_checker import eval_runner
from tqdm import tqdm

from official_bfcl.calls import STYLES, Parameters, Style
from official_bfcl.corruption import corrupted, reference
from official_bfcl.fixture_files import canonical, digest, write_table
from official_bfcl.official import Task, fresh_state, make_handler, silence
from official_bfcl.play import Entry

HEADER = ("task", "variant", "kind", "entry", "valid", "error_type")


def entries(task: Task, style: Style, parameters: Parameters) -> Iterator[tuple[str, int, Entry]]:
    """The reference as variant -1, then the corrupted plays."""
    yield "reference", -1, reference(task.row, task.ground_truth, style, parameters)
    yield from corrupted(task.row, task.ground_truth, style, parameters)


def official_verdict(handler: Any, task: Task, entry: Entry, model_name: str) -> tuple[bool, str]:
    """Whether the entry is valid, and the official type of its error (empty when valid)."""
    row = {key: value for key, value in task.row.items() if key != "function"}
    evaluate: Callable[..., dict[str, Any]] = eval_runner._evaluate_single_multi_turn_entry  # pyright: ignore[reportPrivateUsage]
    with silence(), fresh_state():
        verdict = evaluate(handler, task.id, entry, task.ground_truth, row, model_name, task.category)
    return verdict["valid"], verdict.get("error", {}).get("error_type", "")


def record_style(tasks: list[Task], style: Style, parameters: Parameters, out: Path) -> tuple[int, float]:
    """Writes the table of one handler; returns the number of plays, and the seconds that the evaluator took."""
    handler, rows, seconds = make_handler(style), list[tuple[object, ...]](), 0.0
    for task in tqdm(tasks, desc=f"verdicts, {style}"):
        for kind, variant, entry in entries(task, style, parameters):
            start = time.perf_counter()
            valid, error_type = official_verdict(handler, task, entry, f"play_{len(rows)}")
            seconds += time.perf_counter() - start
            rows.append(
                (task.id, variant, kind, digest(canonical(entry)), int(valid), error_type.removeprefix("multi_turn:"))
            )
    write_table(out / f"verdicts_{style}.tsv", HEADER, rows)
    counts = Counter((str(row[2]), str(row[5]) or "valid") for row in rows)
    write_table(
        out / f"verdicts_{style}_counts.tsv", ("kind", "verdict", "plays"), [(*key, n) for key, n in sorted(counts.items())]
    )
    return len(rows), seconds


def record_verdicts(tasks: list[Task], parameters: Parameters, out: Path) -> None:
    for style in STYLES:
        plays, seconds = record_style(tasks, style, parameters, out)
        print(f"{style}: {plays} plays in {seconds:.1f} s: {plays / seconds:.1f} a second, one process")
