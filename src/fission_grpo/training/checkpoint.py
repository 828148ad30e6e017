"""Checkpoints that are whole or do not count.

A kill may come between any two files, and TRL writes more files after Trainer's own: a folder that looks valid may not be.
A checkpoint counts once its `COMPLETE` file, with the hash of every other file, is on disk: written and synced last. Older
ones are deleted only then: at every moment behind the first save, one that counts is on disk.
"""

import hashlib
import json
import logging
import os
import pickle
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fission_grpo.disk import disk_fault, write_whole
from fission_grpo.errors import UserError
from fission_grpo.training.signing import SIGNATURE, check_signature, sign

COMPLETE = "COMPLETE"
STATE = "fission_state.pkl"
_LOGGER = logging.getLogger(__name__)


def seal(folder: Path) -> None:
    """Declares a checkpoint whole: every file synced, then `COMPLETE` with their hashes, which `SIGNATURE` signs."""
    for left in (COMPLETE, f".{COMPLETE}.partial", SIGNATURE):  # of a save that was cut short
        (folder / left).unlink(missing_ok=True)
    listed = json.dumps({str(path.relative_to(folder)): _sha256(path) for path in sync_files(folder)}, indent=1)
    _sync(sign(folder, listed.encode()))
    write_whole(folder / COMPLETE, listed)
    _sync(folder)
    _sync(folder.parent)  # or a power loss may take the folder itself


def sync_files(folder: Path) -> list[Path]:
    """Sees to it that a power loss takes no file below a folder; returns the files."""
    paths = sorted(folder.rglob("*"))
    for path in (*paths, folder):
        _sync(path)
    return [path for path in paths if path.is_file()]


def is_complete(folder: Path) -> bool:
    """Whether the checkpoint was sealed and nothing of it changed since."""
    try:
        hashes: dict[str, str] = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        return bool(hashes) and all(_sha256(folder / name) == digest for name, digest in hashes.items())
    except PermissionError as error:  # says nothing of the checkpoint: a run must not begin anew for it
        raise UserError(f"{error.filename}: cannot be read; make it readable, and resume again") from error
    except (OSError, ValueError, AttributeError):  # files lost or unreadable; no text, no JSON, no object in `COMPLETE`
        return False


def newest_complete(run: Path) -> Path | None:
    """The newest whole checkpoint of a run folder, or None. That newer ones do not count is said on the log."""
    for folder in reversed(_checkpoints(run)):
        if is_complete(folder):
            return folder
        _LOGGER.warning("%s is not whole (its save was cut short, or a file of it changed since): it does not count", folder)
    return None


def rotate(sealed: Path, limit: int | None, kept: str | None = None) -> None:
    """Deletes old checkpoints of a run. To be called when the newest is sealed.

    Args:
        sealed: the newest. Later ones, which a resume found damaged, are not counted.
        limit: how many stay, that one included; None for all, as any number below 1.
        kept: one that stays beside them.
    """
    if limit is None or limit < 1:
        return
    for folder in [each for each in _checkpoints(sealed.parent) if step_of(each) <= step_of(sealed)][:-limit]:
        if kept is None or folder.name != Path(kept).name:
            (folder / COMPLETE).unlink(missing_ok=True)  # first: what is half deleted does not even look whole
            shutil.rmtree(folder, ignore_errors=True)


def _checkpoints(run: Path) -> list[Path]:
    """Oldest first, by their numbers: a folder's time of change is that of a deletion in it too."""
    found = [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=step_of)


def step_of(folder: Path) -> int:
    """The number of updates a checkpoint was taken after."""
    return int(folder.name.removeprefix("checkpoint-"))


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes what TRL does not know of: pool, queue, statistics, log offsets."""
    with (folder / STATE).open("wb") as file:
        pickle.dump(state, file)


def load_state(folder: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote, once it is known who wrote it.

    Raises:
        UserError: the checkpoint is not signed by this user, was changed since, or is of another version of this package.
    """
    listed, state = (folder / COMPLETE).read_bytes(), (folder / STATE).read_bytes()
    check_signature(folder, listed)
    if json.loads(listed).get(STATE) != hashlib.sha256(state).hexdigest():
        raise UserError(f"checkpoint {folder}: {STATE} was changed after it was saved; resume from another checkpoint")
    with understood(folder):
        return pickle.loads(state)


@contextmanager
def understood(folder: Path) -> Generator[None]:
    """Around what reads a checkpoint's state, or takes it over.

    Raises:
        UserError: something is missing in it (a KeyError), or a class of ours has moved or has other fields by now.
    """
    try:
        yield
    except (KeyError, AttributeError, ImportError, TypeError) as error:
        raise UserError(
            f"checkpoint {folder}: its state is that of another version of fission-grpo ({type(error).__name__}: {error}); "
            f"install the version that {folder.parent / 'versions.json'} names, or start a new run with `fission train`"
        ) from error


def log_lengths(folder: Path) -> dict[str, int]:
    """The length of each log in bytes when the checkpoint was taken.

    Raises:
        UserError: as `load_state`.
    """
    state = load_state(folder)
    with understood(folder):
        return state["logs"]


def trust(folder: Path) -> None:
    """Signs a checkpoint that somebody else wrote, or this user on another machine."""
    sign(folder, (folder / COMPLETE).read_bytes())


@contextmanager
def saving(folder: Path) -> Generator[None]:
    """Clears away what a failed save left, and says in one sentence where it was the disk.

    Raises:
        UserError: the disk is full, or fails otherwise. Checkpoints that were already whole are untouched.
    """
    try:
        yield
    except Exception as error:
        fault = disk_fault(error, folder.parent)  # before room is made
        shutil.rmtree(folder, ignore_errors=True)
        if fault is not None:
            raise UserError(f"checkpoint {folder}: {fault}; mend that, and {how_to_go_on(folder.parent)}") from error
        raise


def how_to_go_on(run: Path) -> str:
    """Where a run that was stopped will go on, and what to type."""
    kept = newest_complete(run)
    where = f"goes on from {kept.name}" if kept else "starts anew, since no checkpoint is whole yet"
    return f"`fission resume {run}`, or the comparison that it is part of, then {where}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
