"""`fission tasks generate` and `fission tasks inspect`."""

import hashlib
import json
from inspect import signature
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from fission_grpo.cli.tasks import app, generate
from fission_grpo.errors import UserError
from fission_grpo.recipe import GeneratedTasks
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import load_tasks


def test_generate_writes_splits_and_a_true_manifest_and_inspect_shows_real_errors(tmp_path: Path):
    runner = CliRunner()
    written = runner.invoke(app, ["generate", "--out", str(tmp_path), "--count", "50", "--seed", "2", "--mix", "compact"])
    assert written.exit_code == 0, written.output
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["command"].endswith("--count 50 --seed 2 --mix compact")
    assert {name: entry["tasks"] for name, entry in manifest["files"].items()} == {
        "train.jsonl": 40,
        "validation.jsonl": 5,
        "test.jsonl": 5,
    }
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == entry["sha256"]
        held = sum("hidden_hazard" in task.tags for task in load_tasks(tmp_path / name))
        assert entry["tags"].get("hidden_hazard", 0) == held

    shown = runner.invoke(app, ["inspect", str(tmp_path / "train.jsonl"), "--samples", "40"])
    assert shown.exit_code == 0, shown.output
    assert "40 tasks, 40 scenarios" in " ".join(shown.output.split())
    assert '"error":' in shown.output and "careless" in shown.output


def test_generate_writes_over_no_tasks_of_ones_own(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"'train\.jsonl' in it was not generated"):
        CliRunner().invoke(app, ["generate", "--out", str(tmp_path), "--count", "3"], catch_exceptions=False)
    assert (tmp_path / "train.jsonl").read_text() == "mine"


def test_inspect_counts_categories_and_shows_what_is_withheld(tmp_path: Path):
    runner = CliRunner()
    written = runner.invoke(app, ["generate", "--out", str(tmp_path), "--count", "40"])
    assert written.exit_code == 0, written.output
    assert json.loads((tmp_path / "manifest.json").read_text())["command"].endswith("--mix benchmark")
    shown = runner.invoke(app, ["inspect", str(tmp_path / "train.jsonl"), "--samples", "32"])
    assert shown.exit_code == 0, shown.output
    assert all(category in shown.output for category in ("base", "miss_func", "miss_param", "long_context"))
    assert "withheld" in shown.output and "nothing is to be called" in shown.output and "all of " in shown.output


def test_the_command_and_the_recipe_have_the_same_mixes_and_the_same_default():
    field = GeneratedTasks.model_fields["mix"]
    assert get_args(field.annotation) == tuple(Mix)
    defaults = {signature(function).parameters["mix"].default for function in (generate, generate_tasks)}
    assert defaults == {field.default}
