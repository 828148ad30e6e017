"""What a failing disk is told as, and that it harms nothing that was whole."""

import errno
from pathlib import Path

import pytest
from full_disk import no_file_beyond

from fission_grpo.disk import append_line, disk_fault, write_whole


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, "x"), "the disk is full"),
        (OSError(errno.EDQUOT, "x"), "the disk quota is used up"),
        (OSError(errno.EROFS, "x"), "the disk can only be read"),
        (RuntimeError("I/O error: File too large (os error 27)"), "a file has reached the largest size"),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), "the disk is full"),
        (RuntimeError("basic_ios::clear: iostream error"), "a file could not be written to its end"),
        (caused(RuntimeError("while saving"), OSError(errno.EIO, "x")), "the disk reports an input/output error"),
        (OSError(errno.ENOENT, "No such file"), None),
        (RuntimeError("shapes do not match (os error 2)"), None),
    ],
)
def test_what_is_wrong_with_the_disk(error: Exception, fault: str | None) -> None:
    found = disk_fault(error)
    assert found == fault if fault is None else found is not None and found.startswith(fault)


def test_torch_does_not_say_why_and_the_disk_is_asked(tmp_path: Path) -> None:
    with no_file_beyond(1000):
        found = disk_fault(RuntimeError("iostream error"), tmp_path)
    assert found is not None and "ulimit" in found
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_added_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append_line(log, "first")
    with no_file_beyond(10), pytest.raises(OSError):
        append_line(log, "second, of which there is room for half")
    assert log.read_text() == "first\n"
    append_line(log, "third", sync=True)
    assert log.read_text() == "first\nthird\n"


def test_a_file_that_cannot_be_written_keeps_what_it_held(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    write_whole(file, "old")
    with no_file_beyond(100), pytest.raises(OSError):
        write_whole(file, "new" * 1000)
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]
