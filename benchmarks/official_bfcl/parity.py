"""Our side of every fixture: what the package under test makes of the same scripted model and the same entries.

Unlike the rest of this folder, this imports our package, and runs in its environment.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.evaluation.asking import Completion
from fission_grpo.evaluation.bfcl.checking import Job
from fission_grpo.evaluation.bfcl.dialogue import Dialogue
from fission_grpo.evaluation.bfcl.entries import Entry, load_entries
from fission_grpo.evaluation.bfcl.handlers import Handler, Prompting, QwenFunctionCalling
from fission_grpo.evaluation.bfcl.replay import decode_turns
from official_bfcl.calls import Style
from official_bfcl.corruption import corrupted, reference
from official_bfcl.fixture_files import canonical, digest
from official_bfcl.scripted import scripted_model

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures" / "official_bfcl"
HANDLERS: Mapping[Style, Handler] = {"qwen-fc": QwenFunctionCalling(), "prompting": Prompting()}
MODEL = "Qwen/Qwen3-1.7B"
"""The model under whose name the official handlers executed calls: it stands in rewritten arguments."""


@dataclass(frozen=True)
class Comparison:
    """Something of ours beside the same of the official package."""

    task_id: str
    kind: str
    ours: tuple[str, ...]
    official: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return self.ours == self.official


@dataclass(frozen=True)
class JobOfFixture:
    """An entry to be judged, and what the official evaluator said of it."""

    job: Job
    kind: str
    valid: bool
    error_type: str


def table(name: str) -> list[dict[str, str]]:
    with (FIXTURES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@cache
def ground_truth() -> Mapping[str, list[list[str]]]:
    load = package_module("utils").load_ground_truth_entry
    return {row["id"]: row["ground_truth"] for category in CATEGORIES for row in load(category)}


@cache
def parameters() -> dict[str, list[str]]:
    return json.loads((FIXTURES / "parameters.json").read_text(encoding="utf-8"))


@cache
def _entries() -> Mapping[str, Entry]:
    return {entry.id: entry for category in CATEGORIES for entry in load_entries(category)}


def play(task_id: str, style: Style) -> tuple[list[str], dict[str, Any]]:
    """Plays one task with the scripted model: the prompts in order, and the line of the result file."""
    model = scripted_model({"id": task_id}, ground_truth()[task_id], style, parameters())
    dialogue = Dialogue(_entries()[task_id], HANDLERS[style], MODEL)
    prompts: list[str] = []
    while dialogue.request is not None:
        prompts.append(dialogue.request.prompt)
        text = model.say(*dialogue.position)
        dialogue.advance(Completion(text, (), len(prompts[-1]), len(text), 0.0))
    return prompts, dict(dialogue.result())


def compare_prompts(style: Style) -> Iterator[Comparison]:
    """All 800 tasks: number of queries, and hashes of prompts, result and inference log."""
    for row in table(f"prompts_{style}.tsv"):
        prompts, line = play(row["task"], style)
        ours = (
            str(len(prompts)),
            digest("\x00".join(prompts)),
            digest(canonical(line["result"])),
            digest(canonical(_comparable_log(line))),
        )
        official = (row["queries"], row["prompts"], row["result"], row["log"])
        yield Comparison(row["task"], "prompts", ours, official)


def jobs(style: Style) -> Iterator[JobOfFixture]:
    """Every entry that the official evaluator has judged, made anew; its hash says that it is the same one."""
    recorded = {(row["task"], int(row["variant"])): row for row in table(f"verdicts_{style}.tsv")}
    for task_id, truth in ground_truth().items():
        given = {"id": task_id}, truth, style, parameters()
        for kind, variant, entry in (("reference", -1, reference(*given)), *corrupted(*given)):
            row = recorded[task_id, variant]
            if digest(canonical(entry)) != row["entry"]:
                raise ValueError(f"{task_id}, variant {variant}: not the entry that was recorded; run `make official-bfcl`")
            # The name differs from the official run's, as it did from run to run there.
            job = Job(task_id, decode_turns(entry, HANDLERS[style].decode), "model")
            yield JobOfFixture(job, kind, row["valid"] == "1", row["error_type"])


def _comparable_log(line: Mapping[str, Any]) -> list[Any]:
    """The log without the texts of decoding errors, which no model sees and which Python words anew by version."""
    log: list[Any] = []
    for turn in line.get("inference_log", []):
        steps = {key: value for key, value in turn.items() if not key.startswith("step_")}
        for key in turn.keys() - steps.keys():
            steps[key] = [{name: value for name, value in item.items() if name != "error"} for item in turn[key]]
        log.append(steps)
    return log
