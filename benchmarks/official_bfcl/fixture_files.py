"""How fixtures are hashed, written and compared."""

import csv
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def digest(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_compressed(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(canonical(value).encode(), mtime=0))


def content(path: Path) -> bytes:
    """The bytes that count: a compressed file's content, since two versions of zlib may pack it differently."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def sha256(path: Path) -> str:
    return hashlib.sha256(content(path)).hexdigest()


def files_below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def differences(made: Path, committed: Path) -> list[str]:
    """One line for every fixture that is missing, superfluous or changed."""
    ours, theirs = files_below(made), files_below(committed)
    lines = [f"only in the new recording: {name}" for name in sorted(ours.keys() - theirs.keys())]
    lines += [f"no longer recorded: {name}" for name in sorted(theirs.keys() - ours.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        new, old = content(ours[name]), content(theirs[name])
        if new != old:
            new_lines, old_lines = new.splitlines(), old.splitlines()
            count = len(set(new_lines) ^ set(old_lines))
            first = next((pair for pair in zip(old_lines, new_lines, strict=False) if pair[0] != pair[1]), (b"", b""))
            lines.append(f"changed: {name}: {count} lines; first: {first[0][:160]!r} is now {first[1][:160]!r}")
    return lines
