"""`fission eval tasks`: tasks of one's own, as a user types it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fission_grpo.cli import app
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.errors import UserError
from fission_grpo.evaluation.records import load_records
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import save_tasks


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["eval", "tasks", *arguments], env={"COLUMNS": "160"})
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_tasks(generate_tasks(6, 0, BFCLEnvironment(), mix=Mix.COMPACT), tmp_path / "mine.jsonl")
    return tmp_path / "mine.jsonl"


def test_a_second_call_plays_only_what_is_missing(file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    common = [str(file), "--model", "bundled", "--limit", "3", "--samples", "2", "--max-new-tokens", "64", "--out", out]
    shown = invoke(*common)
    assert "solved" in shown
    assert "recovery (turn)" in shown
    assert "recovery (turn)" in (tmp_path / "out" / "report.html").read_text()
    records = tmp_path / "out" / "bundled.jsonl"
    assert len(load_records(records)) == 6
    assert {record.task_id for record in load_records(records)} <= set(file.read_text().split('"'))
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:4]))  # were it played again, it would be whole
    invoke(*common)
    assert len(load_records(records)) == 4
    with pytest.raises(UserError, match="made with evaluation"):
        invoke(*common, "--temperature", "0.5")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "bundled", "--model", "bundled"], "'bundled' found twice"),
        (["--model", "bundled", "--environment", "tau2"], "`fission eval tau2`"),
        (["--model", "bundled", "--environment", "notes"], "entry point"),
        (["--model", "bundled", "--model", "nowhere"], "'nowhere'"),
    ],
)
def test_mistakes_are_said_before_anything_is_played(file: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        invoke(str(file), *arguments, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
