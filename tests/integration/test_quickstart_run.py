"""The quickstart from beginning to end, in a very small size."""

import json
from pathlib import Path

import pytest

from fission_grpo.quickstart import ARMS, Size, run_quickstart
from fission_grpo.reports.progress import ProgressDisplay


@pytest.mark.slow
def test_both_methods_are_trained_evaluated_and_reported(tmp_path: Path) -> None:
    size = Size(train_tasks=12, test_tasks=6, samples=1, updates=2)
    said: list[str] = []
    labels = {"GRPO": size.updates, "Fission-GRPO": size.updates}
    report = run_quickstart(tmp_path, size, said.append, ProgressDisplay(labels))
    assert [evaluation.label for evaluation in report.evaluations] == ["Start", "GRPO", "Fission-GRPO"]
    assert [evaluation.metrics["solved"].denominator for evaluation in report.evaluations] == [6, 6, 6]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4, "learning curves, groups without signal, the pool, failures by kind"
    rows = {method: _rows(tmp_path / method / "metrics.jsonl") for method in ARMS}
    assert rows["fission"] == rows["grpo"] == [128.0, 128.0], "equal compute"
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    run_quickstart(tmp_path, size, said.append, ProgressDisplay(labels))
    assert finished == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}, "nothing is done twice"
    assert len([text for text in said if text.startswith("Generating")]) == 2


def _rows(metrics: Path) -> list[float]:
    """Rows of every update, exploration and recovery together."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return [line["exploration_rows"] + line["recovery_rows"] for line in lines]
