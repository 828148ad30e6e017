"""`fission compare` from beginning to end, in a very small size: killed in the middle, and finished by a second call."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fission_grpo.recipe.loading import load_recipe
from fission_grpo.training.checkpoint import COMPLETE
from fission_grpo.training.runs import train

ROOT = Path(__file__).parents[2]
BUDGET = 2_500
RETAIL = {
    "tasks": {"tau2": {"domain": "retail", "split": "base"}},
    "limit": 2,
    "max_context_tokens": 8192,
    "max_new_tokens": 8,
    "steps_per_turn": 1,
}
RECIPE = {
    "base": str(ROOT / "recipes" / "bfcl_quick.yaml"),
    "settings": {
        "tasks": {
            "train": {"generate": {"count": 12, "seed": 5, "mix": "compact"}},
            "test": {"generate": {"count": 4, "mix": "compact"}},
        },
        "rollout": {"max_new_tokens": 32, "max_context_tokens": 768},
        "fission": {"recovery_generations": 4},
        "trainer": {
            "num_generations": 4,
            "per_device_train_batch_size": 16,
            "gradient_accumulation_steps": 2,
            "save_steps": 1,
        },
    },
    "budget": BUDGET,
    "evaluation": {"tasks": 4, "samples": 1, "also": {"retail": RETAIL}},
    "probe": {"contexts": 6, "samples": 1},
    "arms": {"grpo": {"method": "grpo"}, "fission": {"method": "fission"}},
}


def compare(recipe: Path, out: Path) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "fission_grpo",
        "compare",
        str(recipe),
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--out",
        str(out),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def kill_everything_after(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_and_called_again_only_what_is_missing_is_done(tmp_path: Path) -> None:
    recipe, out = tmp_path / "tiny.yaml", tmp_path / "out"
    recipe.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    kill_everything_after(out / "fission-0" / "checkpoint-1" / COMPLETE, compare(recipe, out))
    assert not (out / "fission-0" / "model").exists()
    finished = {path: path.stat().st_mtime_ns for run in ("start-0", "grpo-0", "tasks") for path in (out / run).rglob("*")}
    begun = (out / "fission-0" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0]

    again = compare(recipe, out)
    printed, _ = again.communicate(timeout=240)
    assert again.returncode == 0, printed
    assert finished == {path: path.stat().st_mtime_ns for path in finished}, "what was finished is left alone"
    assert "grpo-0" not in printed.replace("grpo-0.log", ""), "the finished run is not taken up again"

    updates = (out / "fission-0" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert updates[0] == begun, "it went on from its checkpoint"
    assert [json.loads(line)["step"] for line in updates] == list(range(1, len(updates) + 1))
    tokens = [sum(json.loads(line)["tokens"].values()) for line in updates]
    assert sum(tokens[:-1]) <= BUDGET < sum(tokens), "it ended at its first update past the budget"

    content = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert [arm["name"] for arm in content["arms"]] == ["start", "grpo", "fission"]
    assert {arm["metrics"]["solved"]["denominator"] for arm in content["arms"]} == {4}
    assert {arm["metrics"]["probe_recovery"]["denominator"] for arm in content["arms"]} == {6}
    assert {row["arm"] for row in content["differences"]} == {"fission"}
    (retail,) = content["elsewhere"]
    assert {name: metrics["solved"]["denominator"] for name, metrics in retail["arms"].items()} == {
        "start": 2,
        "grpo": 2,
        "fission": 2,
    }
    assert retail["doing_nothing"] is not None

    run = out / "fission-0"
    shutil.rmtree(run / "model")  # as if killed between the last update and the end
    train(load_recipe(run / "recipe.yaml"), run, resume=True, token_budget=BUDGET)
    assert (run / "model" / "model.safetensors").exists()
    assert updates == (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(), "no update is added"
