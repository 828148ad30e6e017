"""Nothing is unpickled of a checkpoint that this user did not write."""

import os
import pickle
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from fission_grpo.errors import UserError
from fission_grpo.training import checkpoint, signing


class Bomb:
    def __init__(self, log: Path) -> None:
        self.log = log

    def __reduce__(self) -> Any:
        return Path.touch, (self.log,)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    become(tmp_path / "home", monkeypatch)
    yield tmp_path / "home"
    signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]


def become(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process is as one of another user."""
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]


def sealed(run: Path, state: dict[str, Any]) -> Path:
    folder = run / "checkpoint-1"
    folder.mkdir(parents=True)
    checkpoint.save_state(folder, state)
    checkpoint.seal(folder)
    return folder


def refused(folder: Path) -> bool:
    try:
        checkpoint.load_state(folder)
    except UserError as error:
        assert "--trust-checkpoint" in str(error)
        return True
    return False


def test_ones_own_is_read_again(tmp_path: Path):
    folder = sealed(tmp_path, {"step": 1})
    signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert checkpoint.load_state(folder) == {"step": 1}
    assert stat.S_IMODE(os.stat(signing.key_file()).st_mode) == 0o600  # noqa: PTH116
    assert signing.key_file().read_bytes().hex() not in (folder / signing.SIGNATURE).read_text()


def test_somebody_elses_is_not_opened_until_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    exploded = tmp_path / "exploded"
    become(tmp_path / "other", monkeypatch)
    folder = sealed(tmp_path, {"bomb": Bomb(exploded)})
    become(tmp_path / "home", monkeypatch)
    assert checkpoint.newest_complete(tmp_path) == folder
    assert refused(folder)
    assert not exploded.exists()
    checkpoint.trust(folder)
    checkpoint.load_state(folder)
    assert exploded.exists()
    assert checkpoint.newest_complete(tmp_path) == folder


@pytest.mark.parametrize("resealed", [True, False], ids=["hashes made to fit", "hashes left"])
def test_a_state_that_was_exchanged_is_not_opened(tmp_path: Path, resealed: bool):
    folder, exploded = sealed(tmp_path, {}), tmp_path / "exploded"
    signature = (folder / signing.SIGNATURE).read_bytes()
    (folder / checkpoint.STATE).write_bytes(pickle.dumps(Bomb(exploded)))
    if resealed:  # by somebody without the key, who can but keep the old signature
        checkpoint.seal(folder)
        (folder / signing.SIGNATURE).write_bytes(signature)
        assert refused(folder)
    else:
        with pytest.raises(UserError, match="changed after it was saved"):
            checkpoint.load_state(folder)
    assert not exploded.exists()


def test_one_without_a_signature_is_not_opened(tmp_path: Path):
    folder = sealed(tmp_path, {})
    (folder / signing.SIGNATURE).unlink()
    assert refused(folder)


def test_a_signature_left_by_a_save_that_was_cut_short_does_no_harm(tmp_path: Path):
    folder = sealed(tmp_path, {"step": 1})
    (folder / checkpoint.COMPLETE).unlink()
    checkpoint.save_state(folder, {"step": 2})
    checkpoint.seal(folder)
    assert checkpoint.newest_complete(tmp_path) == folder
    assert checkpoint.load_state(folder) == {"step": 2}


def test_without_a_home_a_run_saves_and_says_what_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    become(tmp_path / "file" / "home", monkeypatch)
    folder = sealed(tmp_path, {"step": 1})
    assert "--trust-checkpoint" in caplog.text
    become(tmp_path / "file" / "home", monkeypatch)  # the next process
    assert refused(folder)
    checkpoint.trust(folder)
    assert checkpoint.load_state(folder) == {"step": 1}


def test_a_file_that_is_no_key_is_the_users_error(tmp_path: Path, home: Path):
    signing.key_file().parent.mkdir(parents=True)
    signing.key_file().write_bytes(b"")
    with pytest.raises(UserError, match="0 bytes found, 32 are right"):
        sealed(tmp_path, {})
