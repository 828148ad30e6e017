"""The prompts that the official handlers make, over all tasks, when the scripted model answers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from official_bfcl.calls import STYLES, Parameters, Style
from official_bfcl.fixture_files import canonical, digest, write_compressed, write_table
from official_bfcl.official import Task, make_handler, run_inference
from official_bfcl.scripted import scripted_model

HEADER = ("task", "queries", "prompts", "result", "log")
EXAMPLES = ("7", "101")  # the numbers of the tasks that are stored in full


def comparable_log(entry: dict[str, Any]) -> list[Any]:
    """The inference log without the texts of decoding errors, which no model sees and which Python words anew by version."""
    log: list[Any] = []
    for turn in entry.get("inference_log", []):
        steps = {key: value for key, value in turn.items() if not key.startswith("step_")}
        for key in turn.keys() - steps.keys():
            steps[key] = [{name: value for name, value in item.items() if name != "error"} for item in turn[key]]
        log.append(steps)
    return log


def prefix_shared(first: str, second: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def as_differences(prompts: Iterable[str]) -> list[tuple[int, str]]:
    """Each prompt as the number of characters that it shares with the one before, and the rest."""
    pairs: list[tuple[int, str]] = []
    previous = ""
    for prompt in prompts:
        shared = prefix_shared(previous, prompt)
        pairs.append((shared, prompt[shared:]))
        previous = prompt
    return pairs


def record_style(tasks: list[Task], style: Style, parameters: Parameters, out: Path) -> list[dict[str, Any]]:
    """Writes the table of one handler; returns the examples."""
    handler, rows, examples = make_handler(style), list[tuple[object, ...]](), list[dict[str, Any]]()
    for task in tqdm(tasks, desc=f"prompts, {style}"):
        model = scripted_model(task.row, task.ground_truth, style, parameters)
        entry, prompts = run_inference(handler, task, model, state_log=False)
        log = comparable_log(entry)
        hashes = digest("\x00".join(prompts)), digest(canonical(entry["result"])), digest(canonical(log))
        rows.append((task.id, len(prompts), *hashes))
        if task.id.rsplit("_", 1)[1] in EXAMPLES:
            logged = entry.get("inference_log", [])
            example = {"prompts": as_differences(prompts), "result": entry["result"], "inference_log": logged}
            examples.append({"task": task.id, "style": style, **example})
    write_table(out / f"prompts_{style}.tsv", HEADER, rows)
    return examples


def record_prompts(tasks: list[Task], parameters: Parameters, out: Path) -> None:
    examples = [example for style in STYLES for example in record_style(tasks, style, parameters, out)]
    write_compressed(out / "prompts_examples.json.gz", examples)
