"""Checkpoints are signed: what is unpickled of one was written by this user.

`fission_state.pkl` holds what no file format without code can: the states of environments, which are objects of any class.
Whoever writes a pickle can have anything done where it is read. So a checkpoint's list of hashes is signed with a key that
lies in no run folder, and nothing is unpickled where the signature is another's.
"""

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
from functools import cache
from pathlib import Path

from fission_grpo.errors import UserError

SIGNATURE = "SIGNATURE"
_LOGGER = logging.getLogger(__name__)
_KEY_BYTES = 32


def key_file() -> Path:
    """Where this user's key is kept. Machines that continue each other's runs need the same one."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "fission-grpo" / "checkpoint.key"


def check_key() -> None:
    """Makes the key where there is none.

    Raises:
        UserError: the key cannot be used.
    """
    _key()


def sign(folder: Path, listed: bytes) -> Path:
    """Signs a checkpoint's list of hashes; returns the file that says so."""
    path = folder / SIGNATURE
    path.write_bytes(_signature(listed))
    return path


def check_signature(folder: Path, listed: bytes) -> None:
    """Checks that a checkpoint's list of hashes was signed with this user's key.

    Raises:
        UserError: it was not.
    """
    if not is_signed(folder, listed):
        raise UserError(
            f"checkpoint {folder}: not signed with this user's key; it holds a pickle, and somebody else's can do anything "
            f"when it is read; if it is yours, copy {key_file()} from the machine that wrote it; if you trust who wrote it, "
            "`fission resume RUN --trust-checkpoint` signs it"
        )


def is_signed(folder: Path, listed: bytes) -> bool:
    """Whether `sign` was called for these bytes, with this user's key."""
    path = folder / SIGNATURE
    return path.is_file() and hmac.compare_digest(_signature(listed), path.read_bytes())


def _signature(listed: bytes) -> bytes:
    return hmac.new(_key(), b"fission-grpo checkpoint\n" + listed, hashlib.sha256).hexdigest().encode()


@cache
def _key() -> bytes:
    """The key, made now where there is none. Where it cannot be kept, which is said, it ends with this process."""
    try:
        path = key_file()
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except (OSError, RuntimeError) as error:  # a home that cannot be written to, or none
        _LOGGER.warning("no key for checkpoints can be kept (%s): resuming from them will take --trust-checkpoint", error)
        return secrets.token_bytes(_KEY_BYTES)
    if len(key) != _KEY_BYTES:
        raise UserError(f"key {path}: {len(key)} bytes found, {_KEY_BYTES} are right; delete it, and a new one is made")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())  # or a power loss may leave a key of no bytes
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)  # whole at once, and never over another process's
    draft.unlink()
