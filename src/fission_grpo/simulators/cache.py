"""Replies of an endpoint on disk: what was paid for once is not asked again, and a resumed run hears the same feedback."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Tokens = tuple[int, int]
"""Of the prompt and of the completion, as far as the endpoint reported them."""


def request_key(body: Mapping[str, Any]) -> str:
    """The key of a request: SHA-256 of its canonical JSON, so that anything that may change the reply changes the key."""
    return _sha256(json.dumps(body, sort_keys=True, separators=(",", ":")))


class ReplyCache:
    """Replies by the key of their request, in memory and as lines of JSON in a file.

    A reply is appended when it comes, and replayed ever after: a run that is resumed from a checkpoint, or started again,
    gets for the same failures the same feedback, whatever the endpoint would say now. Delete the file to ask anew.

    Each line carries a checksum. A line that was cut or is none of ours is skipped and counted; of several with one key the
    last counts; several processes may append to one file. A file that cannot be read or written stops nothing.

    Args:
        path: the file, made when the first reply comes; None keeps replies in memory only.

    Attributes:
        counts: `broken` lines, files that could not be read (`unread`), and replies that are in memory only (`unwritten`).
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.counts: Counter[str] = Counter()
        self._replies = {key: (text, tokens) for key, text, tokens in self._read()}

    def get(self, key: str) -> str | None:
        return self._replies[key][0] if key in self._replies else None

    def tokens(self, key: str) -> Tokens:
        """What a reply took when it came."""
        return self._replies[key][1]

    def keys(self) -> list[str]:
        """Of all replies, in the order in which they came first."""
        return list(self._replies)

    def put(self, key: str, text: str, tokens: Tokens = (0, 0)) -> None:
        self._replies[key] = (text, tokens)
        if self._path is None:
            return
        try:
            _append(self._path, _line(key, text, tokens))
        except OSError:  # a full disk, a read-only folder
            self.counts["unwritten"] += 1

    def _read(self) -> Iterator[tuple[str, str, Tokens]]:
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                for line in filter(bytes.strip, file):
                    entry = _entry(line)
                    if entry is None:
                        self.counts["broken"] += 1
                    else:
                        yield entry
        except FileNotFoundError:
            return
        except OSError:
            self.counts["unread"] += 1


def _line(key: str, text: str, tokens: Tokens) -> bytes:
    return json.dumps({"key": key, "text": text, "tokens": tokens, "check": _check(key, text)}).encode() + b"\n"


def _entry(line: bytes) -> tuple[str, str, Tokens] | None:
    """Key, text and tokens of a line, or None where it is broken."""
    try:
        found = json.loads(line)
        key, text, check = found["key"], found["text"], found["check"]
        prompt, completion = map(int, found.get("tokens", (0, 0)))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    whole = isinstance(key, str) and isinstance(text, str) and check == _check(key, text)
    return (key, text, (prompt, completion)) if whole else None


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # the last line was cut: without a new line ours would be lost with it
                line = b"\n" + line
        file.write(line)


def _check(key: str, text: str) -> str:
    return _sha256(f"{key}\n{text}")[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
