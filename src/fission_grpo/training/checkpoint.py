"""Checkpoints that are whole or do not count.

A kill may come between any two files, and TRL writes more files after Trainer's own: a folder that looks valid may not be.
A checkpoint counts once its `COMPLETE` file, with the hash of every other file, is on disk: written and synced last.
"""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fission_grpo.disk import disk_fault
from fission_grpo.errors import UserError

COMPLETE = "COMPLETE"
STATE = "fission_state.pkl"


def seal(folder: Path) -> None:
    """Declares a checkpoint whole: every file synced, then `COMPLETE` with their hashes."""
    hashes: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != COMPLETE:
            _sync(path)
            hashes[str(path.relative_to(folder))] = _sha256(path)
    draft = folder / f".{COMPLETE}"
    draft.write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    _sync(draft)
    draft.rename(folder / COMPLETE)
    _sync(folder)


def is_complete(folder: Path) -> bool:
    """Whether the checkpoint was sealed and nothing of it changed since."""
    try:
        hashes: dict[str, str] = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        return all(_sha256(folder / name) == digest for name, digest in hashes.items())
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def newest_complete(run: Path) -> Path | None:
    """The newest whole checkpoint of a run folder, or None."""
    found = [path for path in run.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return next((path for path in sorted(found, key=step_of, reverse=True) if is_complete(path)), None)


def step_of(folder: Path) -> int:
    """The number of updates a checkpoint was taken after."""
    return int(folder.name.removeprefix("checkpoint-"))


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes what TRL does not know of: pool, queue, statistics, log offsets."""
    with (folder / STATE).open("wb") as file:
        pickle.dump(state, file)


def load_state(folder: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote. A pickle, like torch's own optimizer state: load only checkpoints that you trust."""
    with (folder / STATE).open("rb") as file:
        return pickle.load(file)


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
    return f"`fission resume {run}` then {where}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
