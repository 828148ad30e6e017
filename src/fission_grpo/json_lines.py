"""Files of one JSON value a line, read so that whatever is wrong with one is a sentence."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fission_grpo.disk import append_line
from fission_grpo.errors import UserError

Read = TypeVar("Read")


def read_json_lines(path: Path, what: str, read: Callable[[Any], Read], expected: str) -> list[Read]:
    """Reads every line of a file; empty lines count as none.

    Args:
        what: what the file is to the user; opens the sentence of an error.
        read: makes something of the value of one line; its `ValueError`, `KeyError`, `TypeError` or `IndexError`
            says that the line is broken.
        expected: what a line should be, such as `a failure`.

    Raises:
        UserError: the file is no text, or a line is broken.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path}: not text in UTF-8") from error
    found: list[Read] = []
    # Not `splitlines`: it also breaks at characters that may stand inside a JSON string, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(read(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise UserError(f"{what} {path}, line {number}: not readable as {expected} ({_reason(error)})") from error
    return found


def append_json_line(path: Path, value: object) -> None:
    """Writes one line and syncs it, so that a kill loses only what was not finished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append_line(path, json.dumps(value), sync=True)


def cut_last_line(path: Path) -> None:
    """Removes what a kill left behind the last line break."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"field {where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, KeyError):
        return f"field {error.args[0]}: missing"
    return next(iter(str(error).splitlines()), type(error).__name__)
