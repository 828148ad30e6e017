"""A small result folder as `bfcl generate` writes it, and what `bfcl evaluate` makes of it."""

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

from bfcl_eval.utils import find_file_by_category, sort_file_content_by_id
from tqdm import tqdm

from official_bfcl.calls import STYLES, Parameters, Style
from official_bfcl.fixture_files import write_json
from official_bfcl.official import CATEGORIES, REGISTRY_NAMES, Task, make_handler, run_inference
from official_bfcl.scripted import scripted_model

CANDIDATES = 60
# How many of each sort a category holds. An entry of the prompting handler carries 25 kB of system prompt: fewer of them.
SORTS: dict[Style, dict[str, int]] = {
    "qwen-fc": {"plain": 2, "scripted": 2, "forced to quit": 1, "failed": 1},
    "prompting": {"plain": 2, "scripted": 1, "forced to quit": 1},
}


def small_tasks(tasks: list[Task], category: str) -> list[Task]:
    """The tasks of a category with the smallest rows: tool docs and states are logged."""
    of_category = [task for task in tasks if task.category == category]
    return sorted(of_category, key=lambda task: len(json.dumps(task.row)))[:CANDIDATES]


def sort_of(entry: dict[str, Any], turns: int, *, plain: bool) -> str:
    if isinstance(entry["result"], str):
        return "failed"
    if len(entry["result"]) < turns:
        return "forced to quit"
    return "plain" if plain else "scripted"


def without_paths(entry: dict[str, Any]) -> dict[str, Any]:
    """The traceback of a failed inference names paths of the machine: only its last line is kept."""
    return {**entry, "traceback": entry["traceback"].splitlines()[-1]} if "traceback" in entry else entry


def chosen_entries(tasks: list[Task], style: Style, parameters: Parameters) -> list[dict[str, Any]]:
    """Of every sort the smallest entries, each of another task, with the full logs that the command writes by default."""
    handler, sorts = make_handler(style), defaultdict[str, list[dict[str, Any]]](list)
    for task, plain in product(tasks, (True, False)):
        model = scripted_model(task.row, task.ground_truth, style, parameters, plain=plain)
        entry, _ = run_inference(handler, task, model, state_log=True)
        sorts[sort_of(entry, len(task.ground_truth), plain=plain)].append(without_paths(entry))
    chosen: dict[str, dict[str, Any]] = {}
    for sort, count in reversed(SORTS[style].items()):  # the rarest first
        fit = sorted(sorts[sort], key=lambda entry: len(json.dumps(entry, default=str)))
        chosen |= {entry["id"]: entry for entry in [each for each in fit if each["id"] not in chosen][:count]}
    return list(chosen.values())


def write_results(tasks: list[Task], parameters: Parameters, folder: Path) -> None:
    """Through the official writer, and sorted afterwards, as `bfcl generate` does both."""
    for style in STYLES:
        handler = make_handler(style)
        for category in tqdm(CATEGORIES, desc=f"result files, {style}"):
            for entry in chosen_entries(small_tasks(tasks, category), style, parameters):
                handler.write(entry, folder)
            sort_file_content_by_id(find_file_by_category(category, folder / handler.registry_dir_name, is_result_file=True))


def evaluate(results: Path, scores: Path) -> None:
    """Runs the official command; a failure ends the recording."""
    models = ["--model", ",".join(REGISTRY_NAMES.values()), "--test-category", "multi_turn"]
    folders = ["--result-dir", str(results), "--score-dir", str(scores)]
    command = [sys.executable, "-m", "bfcl_eval", "evaluate", "--partial-eval", *models, *folders]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def read_scores(scores: Path) -> dict[str, Any]:
    """Of every score file its header, and the error type of every failed task: the files themselves repeat the results."""
    files: dict[str, Any] = {}
    for path in sorted(scores.rglob("*_score.json")):
        header, *failed = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        errors = {entry["id"]: entry["error"]["error_type"] for entry in failed}
        files[path.relative_to(scores).as_posix()] = {**header, "failed": errors}
    return files


def record_results(tasks: list[Task], parameters: Parameters, out: Path, scratch: Path) -> None:
    write_results(tasks, parameters, out / "result")
    evaluate(out / "result", scratch / "score")
    write_json(out / "scores.json", read_scores(scratch / "score"))
    shutil.copy(scratch / "score" / "data_multi_turn.csv", out / "data_multi_turn.csv")
