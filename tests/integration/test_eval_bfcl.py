"""`fission eval bfcl` as a user types it: the bundled policy, official result files, and a run that was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

OFFICIAL = Path(__file__).parents[1] / "fixtures" / "official_bfcl"


def evaluate(*arguments: str) -> None:
    """In a process of its own, as threads must be set before torch is loaded."""
    command = [sys.executable, "-m", "fission_grpo", "eval", "bfcl", *arguments]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def played(out: Path) -> list[dict[str, Any]]:
    """Every line of the result files; what was measured by the clock is left out."""
    lines = [json.loads(line) for file in sorted(out.rglob("*_result.json")) for line in file.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "latency"} for line in lines]


@pytest.mark.slow
def test_the_bundled_policy_is_played_and_judged(tmp_path: Path) -> None:
    options = ("--model", "bundled", "--limit", "4", "--max-new-tokens", "16", "--out", str(tmp_path))
    evaluate(*options)
    assert [line["id"] for line in played(tmp_path)] == [
        f"multi_turn_{category}_0" for category in ("base", "long_context", "miss_func", "miss_param")
    ]
    [scores] = json.loads((tmp_path / "scores.json").read_text())
    assert scores["missing"] == 0
    assert {name: cell["denominator"] for name, cell in scores["categories"].items()} == {
        f"multi_turn_{category}": 1 for category in ("base", "miss_func", "miss_param", "long_context")
    }
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 4

    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*_result.json")}
    evaluate(*options)
    assert {path: path.stat().st_mtime_ns for path in files} == files

    evaluate("--from-results", str(tmp_path), "--out", str(tmp_path / "again"))
    [again] = json.loads((tmp_path / "again" / "scores.json").read_text())
    assert again.pop("other_answers").startswith("0.000 (0/")  # the log is read, and answers are the same
    scores.pop("other_answers")
    assert again == scores  # under the name of the model that played, whatever bfcl-eval knows the folder by


def test_official_results_have_the_official_accuracies(tmp_path: Path) -> None:
    evaluate("--from-results", str(OFFICIAL / "result"), "--out", str(tmp_path))
    official = json.loads((OFFICIAL / "scores.json").read_text())
    for scores in json.loads((tmp_path / "scores.json").read_text()):
        for category, cell in scores["categories"].items():
            expected = official[f"{scores['model']}/multi_turn/BFCL_v4_{category}_score.json"]
            assert (cell["numerator"], cell["denominator"]) == (expected["correct_count"], expected["total_count"])
    assert len(json.loads((tmp_path / "scores.json").read_text())) == 2


@pytest.mark.slow
def test_a_killed_run_goes_on_without_playing_anything_twice(tmp_path: Path) -> None:
    """One dialogue at a time and greedy: then nothing depends on what shares a batch, and the files are equal but for the
    clock. With larger batches a resumed run has other neighbours in its batches, and equality is not promised."""
    options = ["--model", "bundled", "--limit", "6", "--category", "base", "--max-new-tokens", "12"]
    options += ["--temperature", "0", "--batch-size", "1"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "fission_grpo", "eval", "bfcl", *options, "--out", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_lines(process, killed, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = [line["id"] for line in played(killed)]
    assert 2 <= len(before) < 6

    evaluate(*options, "--out", str(killed))
    evaluate(*options, "--out", str(whole))
    assert [line["id"] for line in played(killed)] == [f"multi_turn_base_{number}" for number in range(6)]
    assert played(killed) == played(whole)
    assert json.loads((killed / "scores.json").read_text()) == json.loads((whole / "scores.json").read_text())


def wait_for_lines(process: "subprocess.Popen[bytes]", out: Path, count: int) -> None:
    deadline = time.monotonic() + 120.0
    while sum(file.read_text().count("\n") for file in out.rglob("*_result.json")) < count:
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.02)
