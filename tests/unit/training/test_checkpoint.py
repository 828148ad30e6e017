"""A checkpoint is whole or does not count; a full disk is one sentence and loses nothing."""

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from fission_grpo.errors import UserError
from fission_grpo.training import checkpoint


def whole(run: Path, step: int) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes([step]) * 100)
    checkpoint.save_state(folder, {"step": step})
    checkpoint.seal(folder)
    return folder


def test_the_newest_whole_one_counts(tmp_path: Path):
    whole(tmp_path, 9)
    newest = whole(tmp_path, 10)
    (tmp_path / "checkpoint-11").mkdir()
    assert checkpoint.newest_complete(tmp_path) == newest
    assert checkpoint.load_state(newest) == {"step": 10}


@pytest.mark.parametrize(
    "damage", ["cut", "lost", "changed", "seal is binary", "seal is no object", "seal is empty", "no state"]
)
def test_a_damaged_one_does_not(tmp_path: Path, damage: str):
    good, bad = whole(tmp_path, 1), whole(tmp_path, 2)
    weights = bad / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:50])
    elif damage == "lost":
        weights.unlink()
    elif damage == "changed":
        weights.write_bytes(b"x" * 100)
    elif damage == "no state":
        (bad / checkpoint.STATE).unlink()
    else:
        seals = {"seal is binary": b"\x00\xff\xfe", "seal is no object": b"[1]", "seal is empty": b"{}"}
        (bad / checkpoint.COMPLETE).write_bytes(seals[damage])
    assert checkpoint.newest_complete(tmp_path) == good


def test_that_one_does_not_count_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    whole(tmp_path, 1)
    (tmp_path / "checkpoint-2").mkdir()
    checkpoint.newest_complete(tmp_path)
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [f"{tmp_path / 'checkpoint-2'} is not whole"]


def test_one_that_may_not_be_read_is_not_taken_for_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole(tmp_path, 1)
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(UserError, match="make it readable"):
        checkpoint.newest_complete(tmp_path)


def test_the_oldest_are_deleted_by_their_numbers(tmp_path: Path):
    """A kill in the middle of a deletion makes the oldest folder the one that changed last."""
    folders = {step: whole(tmp_path, step) for step in (8, 9, 10)}
    (folders[8] / "model.safetensors").unlink()
    checkpoint.rotate(folders[10], 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


@pytest.mark.parametrize(
    ("limit", "left"), [(None, [1, 2, 3]), (-1, [1, 2, 3]), (1, [1, 3]), (3, [1, 2, 3]), (5, [1, 2, 3])]
)
def test_so_many_stay_and_the_best(tmp_path: Path, limit: int | None, left: list[int]):
    best, _, sealed = (whole(tmp_path, step) for step in (1, 2, 3))
    checkpoint.rotate(sealed, limit, kept=str(best))
    assert sorted(map(checkpoint.step_of, tmp_path.iterdir())) == left


def test_the_one_just_sealed_stays_whatever_lies_there_of_later_ones(tmp_path: Path):
    """Damaged ones do not count on a resume, so that a run may save behind them."""
    for step in (40, 60):
        (whole(tmp_path, step) / checkpoint.COMPLETE).unlink()
    sealed = whole(tmp_path, 20)
    checkpoint.rotate(sealed, 1)
    assert checkpoint.newest_complete(tmp_path) == sealed


def test_what_a_killed_seal_left_is_no_part_of_the_next(tmp_path: Path):
    folder = whole(tmp_path, 1)
    (folder / f".{checkpoint.COMPLETE}.partial").write_text("{")
    checkpoint.seal(folder)
    assert checkpoint.is_complete(folder)


def test_a_deletion_that_is_cut_short_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = whole(tmp_path, 1), whole(tmp_path, 2)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.rotate(new, 1)
    assert not (old / checkpoint.COMPLETE).exists()
    assert checkpoint.newest_complete(tmp_path) == new


def test_none_where_nothing_is_whole(tmp_path: Path):
    assert checkpoint.newest_complete(tmp_path) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write: No space left on device")])
def test_a_full_disk_is_one_sentence_and_keeps_the_last(tmp_path: Path, error: Exception):
    good = whole(tmp_path, 1)
    folder = tmp_path / "checkpoint-2"
    with (
        pytest.raises(UserError, match=r"the disk is full; .*goes on from checkpoint-1"),
        checkpoint.saving(folder),
    ):
        folder.mkdir()
        (folder / "half").write_text("x")
        raise error
    assert not folder.exists()
    assert checkpoint.is_complete(good)


def test_other_errors_pass_through(tmp_path: Path):
    with pytest.raises(ValueError, match="bug"), checkpoint.saving(tmp_path / "checkpoint-1"):
        raise ValueError("bug")


def test_a_state_of_another_version_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = whole(tmp_path, 1)
    with pytest.raises(UserError, match=r"checkpoint-1: its state is that of another version .*'logs'.*install the version"):
        checkpoint.log_lengths(old)
    (tmp_path / "checkpoint-2").mkdir()
    checkpoint.save_state(tmp_path / "checkpoint-2", {"pool": Moved()})
    checkpoint.seal(tmp_path / "checkpoint-2")
    monkeypatch.delitem(globals(), "Moved")
    with pytest.raises(UserError, match=r"checkpoint-2: its state is that of another version .*Moved"):
        checkpoint.load_state(tmp_path / "checkpoint-2")


class Moved:
    """A class that a later version has elsewhere."""


def test_a_jump_of_the_clock_changes_nothing(tmp_path: Path):
    """Folders keep the time at which they were written: it says nothing of their order."""
    for step in (8, 9, 10):
        os.utime(whole(tmp_path, step), (1e9 - step, 1e9 - step))
    assert checkpoint.newest_complete(tmp_path) == tmp_path / "checkpoint-10"
    checkpoint.rotate(tmp_path / "checkpoint-10", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]
