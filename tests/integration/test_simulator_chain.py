"""An Error Simulator from beginning to end on the bundled model: collected, trained, used in a run, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fission_grpo.training import checkpoint
from fission_grpo.training.simulator.examples import PARTS, load_examples

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
RESULTS = ROOT / "tests" / "fixtures" / "official_bfcl" / "result"
UPDATES = [
    *("trainer.max_steps=16", "trainer.eval_strategy=steps", "trainer.save_strategy=steps"),
    *("trainer.eval_steps=4", "trainer.save_steps=4", "trainer.learning_rate=2e-3", "trainer.logging_steps=1"),
]
RUN = [
    *("trainer.max_steps=3", "trainer.save_steps=1", "trainer.save_total_limit=null", "trainer.num_generations=4"),
    *("trainer.per_device_train_batch_size=16", "trainer.gradient_accumulation_steps=2", "fission.recovery_generations=4"),
    *("rollout.max_new_tokens=32", "tasks.train={generate: {count: 12, seed: 5, mix: compact}}"),
    *("simulator.alignment.every=1", "simulator.local.max_new_tokens=48"),
]


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "fission_grpo", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fission(*arguments: str) -> str:
    process = start(*arguments)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return said


def kill_once(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def lines(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [{key: value for key, value in record.items() if "seconds" not in key} for record in records]


def equal_weights(first: Path, second: Path) -> bool:
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (first, second))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "data"
    fission("simulator", "collect", str(RECIPES / "bfcl_quick.yaml"), "--count", "120", "--out", str(folder))
    return folder


@pytest.fixture(scope="module")
def simulator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "simulator"
    recipe = str(RECIPES / "simulator_bundled.yaml")
    fission("simulator", "train", recipe, f"data={data}", *UPDATES, "--out", str(folder))
    return folder


@pytest.fixture(scope="module")
def run(simulator: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [*RUN, f"simulator.local.model={simulator / 'model'}"]
    return folder, fission("train", str(RECIPES / "bfcl_simulator.yaml"), *settings, "--run", str(folder))


@pytest.mark.slow
def test_what_is_collected(data: Path) -> None:
    collected = json.loads((data / "collection.json").read_text())
    assert collected["failures"] == 120
    assert sum(collected["filtered"].values()) == 120
    assert sum(collected["parts"].values()) == collected["filtered"]["kept"] == sum(collected["kinds"].values())
    assert collected["parts"] == {part: len(load_examples(data, part)) for part in PARTS}
    assert (collected["teacher"], collected["model"]) == ("rules", "bundled")


@pytest.mark.slow
def test_what_is_trained(data: Path, simulator: Path) -> None:
    losses = [record["eval_loss"] for record in lines(simulator / "log.jsonl") if "eval_loss" in record]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    card = json.loads((simulator / "model" / "simulator.json").read_text())
    assert (card["examples"], card["version"], card["instruction"]) == (len(load_examples(data, "train")), 1, "")


@pytest.mark.slow
def test_a_run_that_is_told_by_it(run: tuple[Path, str]) -> None:
    folder, said = run
    metrics = lines(folder / "metrics.jsonl")
    seconds = [json.loads(line)["simulator_seconds"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    fissioned = [record for record in metrics if record["recovery_groups"]]
    assert fissioned
    for record, spent in zip(metrics, seconds, strict=True):
        answered = {key: count for key, count in record["simulator"].items() if key.startswith("answered/")}
        assert sum(answered.values()) == record["recovery_groups"]
        assert {f"answered/{source}": count for source, count in record["feedback"].items()} == answered
        assert (spent > 0) == (record["tokens"]["simulator"] > 0) == bool(record["recovery_groups"])
    alignment = lines(folder / "alignment.jsonl")
    assert [(record["event"], record["step"]) for record in alignment] == [("measurement", step) for step in (1, 2, 3)]
    assert any(record["sound"][0] > 0 for record in alignment)
    assert sum(sum(record["sources"].values()) for record in alignment) == sum(
        record["recovery_groups"] for record in metrics
    )
    assert "  feedback " in said
    assert "local " in said


@pytest.mark.slow
def test_the_failures_of_a_run_are_collected(run: tuple[Path, str], tmp_path: Path) -> None:
    fission("simulator", "collect", str(run[0]), "--out", str(tmp_path / "again"))
    examples = [example for part in PARTS for example in load_examples(tmp_path / "again", part)]
    groups = lines(run[0] / "trajectories" / "fission_groups.jsonl")
    assert 0 < len(examples) <= len(groups)
    assert {example.failure.text for example in examples} <= {group["failure"]["text"] for group in groups}
    assert all(example.failure.tools for example in examples)


@pytest.mark.slow
def test_failures_of_a_benchmark_are_collected(tmp_path: Path) -> None:
    """Official results of a model that writes its calls as Python: what JSON cannot carry stands there as text."""
    fission("simulator", "collect", str(RESULTS), "--out", str(tmp_path / "bfcl"), "--count", "1000")
    examples = [example for part in PARTS for example in load_examples(tmp_path / "bfcl", part)]
    assert len({example.failure.task_id for example in examples}) > 3
    assert all(example.failure.tools and example.failure.messages for example in examples)
    assert all(example.failure.task_id.startswith("multi_turn_") for example in examples)


@pytest.mark.slow
def test_a_killed_run_with_a_simulator_goes_on_as_if_nothing_had_happened(
    run: tuple[Path, str], simulator: Path, tmp_path: Path
) -> None:
    whole, broken = run[0], tmp_path / "broken"
    settings = [*RUN, f"simulator.local.model={simulator / 'model'}"]
    process = start("train", str(RECIPES / "bfcl_simulator.yaml"), *settings, "--run", str(broken))
    kill_once(process, lambda: (broken / "checkpoint-2" / checkpoint.COMPLETE).exists())
    fission("resume", str(broken))
    assert equal_weights(broken, whole)
    for log in ("alignment.jsonl", "metrics.jsonl", "trajectories/fission_groups.jsonl"):
        assert lines(broken / log) == lines(whole / log)


@pytest.mark.slow
def test_a_killed_training_of_a_simulator_goes_on_likewise(data: Path, simulator: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    arguments = [
        "simulator",
        "train",
        str(RECIPES / "simulator_bundled.yaml"),
        f"data={data}",
        *UPDATES,
        "--out",
        str(broken),
    ]
    kill_once(start(*arguments), lambda: (broken / "checkpoint-8" / checkpoint.COMPLETE).exists())
    assert not (broken / "model").exists()
    fission(*arguments, "--resume")
    assert equal_weights(broken, simulator)
    steps = [[record["step"] for record in lines(folder / "log.jsonl")] for folder in (broken, simulator)]
    assert steps[0] == steps[1]

    before = (broken / "model" / "model.safetensors").stat().st_mtime_ns
    fission(*arguments, "--resume")  # one that is finished stays as it is
    assert (broken / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_it_is_evaluated_on_fresh_failures(data: Path, simulator: Path, tmp_path: Path) -> None:
    """Beside the baselines, with labels by hand; here the examples' own kinds stand in for those."""
    labels, out = tmp_path / "labels.jsonl", tmp_path / "report"
    rows = [json.loads(line) for line in (data / "validation.jsonl").read_text(encoding="utf-8").split("\n") if line]
    labelled = [{"failure": row["failure"], "label": row["failure"]["kind"]} for row in rows[:5]]
    labels.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    options = ["--recipe", str(RECIPES / "bfcl_quick.yaml"), "--count", "20", "--samples", "1", "--labels", str(labels)]
    said = fission("simulator", "evaluate", str(simulator / "model"), *options, "--out", str(out))
    found = json.loads((out / "evaluation.json").read_text())
    names = ["fixed", "environment", "rules", str(simulator / "model")]
    assert [result["name"] for result in found["results"]] == names
    results = dict(zip(("fixed", "environment", "rules", "local"), found["results"], strict=True))
    for result in results.values():
        assert result["measures"]["usable"]["denominator"] == 20
        assert result["utility"]["denominator"] == result["blind"]["denominator"] == 20
        assert result["blind_secret"]["denominator"] == results["fixed"]["blind_secret"]["denominator"] > 0
        assert result["labels"]["denominator"] == 5
        assert sum(sum(inner.values()) for inner in result["confusion"].values()) == 20
        assert sum(count for key, count in result["counts"].items() if key.startswith("answered/")) == 20
    assert results["rules"]["measures"]["agreement_all"]["numerator"] == 20
    assert results["rules"]["labels"]["numerator"] == 5
    assert results["fixed"]["over_fixed"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert results["local"]["measures"]["usable"]["numerator"] > 0
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert "rules" in (out / "table.md").read_text()
    assert "report.html" in said
