"""Logs of a run folder are cut back to a checkpoint and never stretched to it; one process trains in a folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe
from fission_grpo.training.run_folder import RunFolder, check_changes

HOLD = """
import sys
from pathlib import Path
from fission_grpo.training.run_folder import RunFolder

with RunFolder(Path(sys.argv[1])).alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", Recipe.model_validate({"tasks": {"train": "a", "test": "b"}}))


def test_a_run_begins_where_nothing_is_written_over(folder: RunFolder, tmp_path: Path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    with pytest.raises(UserError, match=r"mine: 'model' in it is of no run"):
        RunFolder.create(tmp_path / "mine", folder.recipe())
    with pytest.raises(UserError, match=r"there is a run in it; `fission resume"):
        RunFolder.create(folder.path, folder.recipe())


def test_a_resume_keeps_what_it_changes_and_may_not_change_all(folder: RunFolder):
    recipe = folder.recipe()
    longer = recipe.model_copy(update={"trainer": recipe.trainer | {"max_steps": 9}})
    check_changes(recipe, longer)
    folder.keep(longer)
    assert folder.recipe() == longer
    faster = recipe.model_copy(update={"trainer": recipe.trainer | {"learning_rate": 1.0}})
    with pytest.raises(UserError, match=r"trainer\.learning_rate: 1\.0 found, .* began with None; .* trainer\.max_steps"):
        check_changes(recipe, faster)


def test_what_is_taken_back_can_begin_anew(folder: RunFolder):
    recipe = folder.recipe()
    (folder.path / "notes.txt").touch()
    folder.take_back()
    assert [each.name for each in folder.path.iterdir()] == ["notes.txt"]
    (folder.path / "notes.txt").unlink()
    RunFolder.create(folder.path, recipe).take_back()
    assert not folder.path.exists()


def test_what_came_behind_a_checkpoint_is_cut(folder: RunFolder):
    folder.append("metrics.jsonl", {"step": 1})
    offsets = folder.offsets()
    folder.append("metrics.jsonl", {"step": 2})
    folder.append("alignment.jsonl", {"step": 2})
    folder.check_logs(offsets, folder.path / "checkpoint-1")
    folder.cut_back(offsets)
    assert folder.metrics() == [{"step": 1}]
    assert (folder.path / "alignment.jsonl").read_bytes() == b""


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_a_log_that_lost_lines_is_said_and_not_filled_up(folder: RunFolder, damage: str):
    folder.append("metrics.jsonl", {"step": 1})
    offsets, log = folder.offsets(), folder.path / "metrics.jsonl"
    log.write_bytes(b"{") if damage == "shorter" else log.unlink()
    with pytest.raises(UserError, match=r"metrics\.jsonl: [01] bytes found, at least 12 needed: checkpoint-1 was taken"):
        folder.check_logs(offsets, folder.path / "checkpoint-1")


def test_other_versions_than_at_the_beginning_are_said(folder: RunFolder, caplog: pytest.LogCaptureFixture):
    folder.compare_versions()
    assert caplog.text == ""
    began = folder.path / "versions.json"
    versions = json.loads(began.read_text())
    began.write_text(json.dumps(versions | {"trl": "0.1"}))
    folder.compare_versions()
    assert f"other versions than it began with: trl {versions['trl']} (0.1)" in caplog.text


def test_only_one_process_trains_in_it(folder: RunFolder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process trains in it"), folder.alone():
            pass
        other.kill()
    with folder.alone():  # a kill ends it too
        pass
