"""The committed record of what the official BFCL package says is whole, and its inputs can be made again without it."""

import csv
import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.environments.bfcl.package import data_folder
from official_bfcl.calls import STYLES, Style
from official_bfcl.corruption import corrupted, reference
from official_bfcl.fixture_files import canonical, digest, files_below, sha256
from official_bfcl.scripted import ScriptedModel, scripted_model

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "official_bfcl"
STEP_LIMIT = 21


def read_table(name: str) -> list[dict[str, str]]:
    with (FIXTURES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_json(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


@cache
def ground_truths() -> dict[str, list[list[str]]]:
    """The reference calls of each of the 800 tasks, in the official order."""
    paths = [data_folder() / "possible_answer" / f"BFCL_v4_{category}.json" for category in CATEGORIES]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["ground_truth"] for row in map(json.loads, lines)}


def test_the_manifest_names_every_fixture_and_every_module_that_makes_inputs() -> None:
    manifest = read_json("manifest.json")
    found = {name: sha256(path) for name, path in files_below(FIXTURES).items() if name != "manifest.json"}
    assert manifest["fixtures"] == found
    modules = {name: sha256(ROOT / "benchmarks" / "official_bfcl" / name) for name in manifest["inputs"]}
    assert manifest["inputs"] == modules, "inputs have changed since the recording: run `make official-bfcl`"


@pytest.mark.parametrize("style", STYLES)
def test_the_recorded_plays_can_be_made_again(style: Style) -> None:
    parameters = read_json("parameters.json")
    made: list[tuple[str, str, str, str]] = []
    for task, truth in ground_truths().items():
        row = {"id": task}
        entries = [("reference", -1, reference(row, truth, style, parameters)), *corrupted(row, truth, style, parameters)]
        made += [(task, str(variant), kind, digest(canonical(entry))) for kind, variant, entry in entries]
    recorded = [(row["task"], row["variant"], row["kind"], row["entry"]) for row in read_table(f"verdicts_{style}.tsv")]
    assert made == recorded


@pytest.mark.parametrize("style", STYLES)
def test_the_record_is_large_and_varied(style: Style) -> None:
    rows = read_table(f"verdicts_{style}.tsv")
    references = [row for row in rows if row["kind"] == "reference"]
    plays = [row for row in rows if row["kind"] != "reference"]
    assert len(references) == 800
    assert all(row["valid"] == "1" for row in references)
    assert len(plays) >= 2500
    assert len({row["kind"] for row in plays}) >= 15
    assert min(Counter(row["task"].rsplit("_", 1)[0] for row in plays).values()) >= 600
    assert 0.25 < sum(row["valid"] == "1" for row in plays) / len(plays) < 0.75


@pytest.mark.parametrize("style", STYLES)
def test_the_examples_are_the_hashed_prompts(style: Style) -> None:
    hashes = {row["task"]: row for row in read_table(f"prompts_{style}.tsv")}
    examples = json.loads(gzip.decompress((FIXTURES / "prompts_examples.json.gz").read_bytes()))
    of_style = [example for example in examples if example["style"] == style]
    assert len(of_style) == 8
    for example in of_style:
        prompts: list[str] = []
        for shared, rest in example["prompts"]:
            prompts.append((prompts[-1][:shared] if prompts else "") + rest)
        assert digest("\x00".join(prompts)) == hashes[example["task"]]["prompts"]
        assert digest(canonical(example["result"])) == hashes[example["task"]]["result"]


@pytest.mark.parametrize("style", STYLES)
def test_some_scripted_tasks_run_into_the_step_limit(style: Style) -> None:
    """In the middle, in the last turn, one call below the limit and exactly at it."""
    parameters = read_json("parameters.json")
    lengths: Counter[tuple[bool, int]] = Counter()
    for task, truth in ground_truths().items():
        model = scripted_model({"id": task}, truth, style, parameters)
        for turn in range(len(truth)):
            lengths[turn == len(truth) - 1, repeated(model, turn)] += 1
    assert all(lengths[key] > 5 for key in [(False, STEP_LIMIT + 1), (True, STEP_LIMIT + 1), (False, 20), (False, 21)])


def repeated(model: ScriptedModel, turn: int) -> int:
    """How often the model's first message of a turn is said again and again, counted to one above the limit."""
    said = [model.say(turn, step) for step in range(STEP_LIMIT + 1)]
    return next((step for step, text in enumerate(said) if text != said[0]), len(said))
