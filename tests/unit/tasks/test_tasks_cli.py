"""`fission tasks generate` and `fission tasks inspect`."""

import hashlib
import json
from pathlib import Path

from typer.testing import CliRunner

from fission_grpo.cli.tasks import app
from fission_grpo.tasks.task import load_tasks


def test_generate_writes_splits_and_a_true_manifest_and_inspect_shows_real_errors(tmp_path: Path):
    runner = CliRunner()
    written = runner.invoke(app, ["generate", "--out", str(tmp_path), "--count", "50", "--seed", "2"])
    assert written.exit_code == 0, written.output
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["command"].endswith("--count 50 --seed 2")
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
