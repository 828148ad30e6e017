"""A checkpoint is whole or does not count; a full disk is one sentence and loses nothing."""

from pathlib import Path

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


@pytest.mark.parametrize("damage", ["cut", "lost", "changed"])
def test_a_damaged_one_does_not(tmp_path: Path, damage: str):
    good, bad = whole(tmp_path, 1), whole(tmp_path, 2)
    weights = bad / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:50])
    elif damage == "lost":
        weights.unlink()
    else:
        weights.write_bytes(b"x" * 100)
    assert checkpoint.newest_complete(tmp_path) == good


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
