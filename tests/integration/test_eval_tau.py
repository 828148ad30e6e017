"""`fission eval tau2` and a recipe of tau2 as a user types them, with the bundled policy on tau2's own tasks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fission_grpo.cli import app
from fission_grpo.environments.tau2 import ScriptedUser
from fission_grpo.environments.tau2.users.server import serving

ROOT = Path(__file__).parents[2]
SHORT = ("--max-new-tokens", "12", "--max-context-tokens", "8192")


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fission_grpo", *arguments]


def fission(*arguments: str) -> str:
    """In this process: loading torch and tau2 anew takes longer than playing."""
    outcome = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"}, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def lines(out: Path) -> list[dict[str, Any]]:
    path = out / "episodes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.mark.slow
def test_telecom_alone_outgrows_the_bundled_policy_and_says_so(tmp_path: Path) -> None:
    options = ("--domain", "telecom", "--solo", "--model", "bundled", "--limit", "5", "--out", str(tmp_path))
    printed = fission("eval", "tau2", *options)
    assert "5 of 5 conversations outgrew 2,048 tokens" in " ".join(printed.split())
    assert "doing nothing" in printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["conversations"], scores["context_exceeded"], scores["missing"]) == (5, 5, 0)
    assert scores["doing_nothing"] == {"value": 0.0, "numerator": 0, "denominator": 5}
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_retail_is_played_with_a_user_over_http(tmp_path: Path) -> None:
    with serving(ScriptedUser()) as url:
        user = ("--user", url, "--user-model", "scripted")
        options = ("--domain", "retail", "--model", "bundled", "--limit", "2", "--trials", "2", *SHORT)
        fission("eval", "tau2", *options, *user, "--out", str(tmp_path))
    played = lines(tmp_path)
    assert {(line["record"]["task_id"], line["record"]["sample"]) for line in played} == {
        (f"tau2-retail-{task}", trial) for task in (0, 1) for trial in (0, 1)
    }
    assert all(
        [message["role"] for message in line["messages"][:3]] == ["assistant", "user", "assistant"] for line in played
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores["pass"]) == ["pass^1", "pass^2"] and scores["user"] == "scripted"
    assert scores["reward_basis"] == {"DB+COMMUNICATE": 114}


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_without_playing_anything_twice(tmp_path: Path) -> None:
    """One conversation at a time and greedy: then nothing depends on what shares a batch."""
    options = ["eval", "tau2", "--domain", "retail", "--model", "bundled", "--limit", "5", "--batch-size", "1", *SHORT]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        command_of(*options, "--out", str(killed)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while len(lines(killed)) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = lines(killed)
    assert 2 <= len(before) < 5

    fission(*options, "--out", str(killed))
    fission(*options, "--out", str(whole))
    assert lines(killed)[: len(before)] == before
    assert lines(killed) == lines(whole) and len(lines(whole)) == 5
    assert json.loads((killed / "scores.json").read_text()) == json.loads((whole / "scores.json").read_text())


@pytest.mark.slow
def test_the_small_recipe_trains_and_fissions(tmp_path: Path) -> None:
    """Retail's prompts are the shorter ones; of the recipe only the sizes are changed."""
    sizes = ("trainer.num_generations=2", "trainer.per_device_train_batch_size=4", "trainer.gradient_accumulation_steps=1")
    steps = ("fission.recovery_generations=2", "trainer.max_steps=2", "rollout.max_new_tokens=12")
    recipe = str(ROOT / "recipes" / "tau2_retail.yaml")
    # In a process of its own, as threads must be set before torch is loaded.
    command = command_of("train", recipe, *sizes, *steps, "--run", str(tmp_path / "run"))
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    updates = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [update["step"] for update in updates] == [1, 2]
    assert updates[0]["exploration_rows"] == 4 and updates[1]["recovery_rows"] == 2, "failures became recovery groups"
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
