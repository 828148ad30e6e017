"""Writes that fail because of the disk: told from other errors, and kept from harming what was whole before."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file has reached the largest size that is allowed (`ulimit -f`)",
    errno.EIO: "the disk reports an input/output error",
    errno.EROFS: "the disk can only be read",
}
_RUST = re.compile(r"os error (\d+)")
_TORCH = "iostream error"
"""All that torch's C++ says where it cannot write."""


def disk_fault(error: BaseException, folder: Path | None = None) -> str | None:
    """What is wrong with the disk, where that is why something was not written; None for every other error.

    Args:
        folder: where it was to be written; torch does not say why it cannot write, so that a few bytes are tried there.

    >>> disk_fault(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full'
    >>> disk_fault(ValueError("No space left in my head")) is None
    True
    """
    for each in _with_causes(error):
        if isinstance(each, OSError) and each.errno in _FAULTS:
            return _FAULTS[each.errno]
        if (told := _RUST.search(str(each))) and int(told[1]) in _FAULTS:  # safetensors is written in Rust
            return _FAULTS[int(told[1])]
        if os.strerror(errno.ENOSPC) in str(each):
            return _FAULTS[errno.ENOSPC]
    if any(_TORCH in str(each) for each in _with_causes(error)):
        return (folder and _tried(folder)) or "a file could not be written to its end"
    return None


def append_line(path: Path, line: str, *, sync: bool = False) -> None:
    """Adds a line to a file as a whole or not at all.

    Args:
        sync: waits until it is on the disk.

    Raises:
        OSError: it could not be written; the file is as it was.
    """
    with path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        rest = memoryview(line.encode() + b"\n")
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears only once it is whole and on the disk; where that fails, what it held before stays.

    Whoever finds one after a kill may take it for finished work.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _tried(folder: Path) -> str | None:
    probe = folder / ".probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return _FAULTS.get(error.errno or 0)
    finally:
        probe.unlink(missing_ok=True)
    return None
