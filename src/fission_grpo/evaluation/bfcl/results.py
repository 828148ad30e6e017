"""Result files in bfcl-eval's own format: one line an entry, which its evaluator reads as they are.

`DIR/<model>/multi_turn/BFCL_v4_multi_turn_base_result.json`. A line is written, and synced, as soon as its entry is
finished: a killed run loses only the entries that it was playing.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fission_grpo.disk import write_whole
from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.environments.bfcl.official import Category
from fission_grpo.errors import UserError
from fission_grpo.json_lines import append_json_line, cut_last_line

GROUP = "multi_turn"
VERSION = "BFCL_v4"
_NAMES: Mapping[str, Category] = {f"{VERSION}_{category}_result.json": category for category in CATEGORIES}


@dataclass(frozen=True)
class ResultFolder:
    """The results of one model: `<result dir>/<registered name>`."""

    path: Path

    @property
    def model(self) -> str:
        return self.path.name

    def file(self, category: Category) -> Path:
        return self.path / GROUP / f"{VERSION}_{category}_result.json"

    def finished(self) -> set[str]:
        """Ids of the entries that are there. A last line that was cut off by a kill is removed."""
        return {line["id"] for category in CATEGORIES for line in _lines(self.file(category), mend=True)}

    def append(self, category: Category, line: Mapping[str, Any]) -> None:
        append_json_line(self.file(category), line)

    def sort(self) -> None:
        """Puts the lines into the benchmark's order, as bfcl-eval leaves its files."""
        for category in CATEGORIES:
            if self.file(category).is_file():
                lines = sorted(_lines(self.file(category)), key=lambda line: int(line["id"].rpartition("_")[2]))
                write_whole(self.file(category), "".join(json.dumps(line) + "\n" for line in lines))

    def entries(self) -> Iterator[tuple[Category, Mapping[str, Any]]]:
        """Every line with its category.

        Raises:
            UserError: a file is truncated or of another version of the benchmark: what was found, and what is expected.
        """
        for category in CATEGORIES:
            for line in _lines(self.file(category)):
                yield category, line


def find_result_folders(root: Path) -> list[ResultFolder]:
    """The models below a folder of results, or the folder itself where it is a model's.

    Raises:
        UserError: no multi-turn results of BFCL v4 in it.
    """
    if not root.is_dir():
        found = "a file" if root.is_file() else "no such folder"
        raise UserError(f"--from-results {root}: {found}; give one that holds <model>/{GROUP}/{next(iter(_NAMES))}")
    files = [path for path in root.resolve().rglob("*_result.json") if path.name in _NAMES and path.parent.name == GROUP]
    found = sorted({path.parents[1] for path in files})
    if not found:
        others = sorted({path.name for path in root.rglob("*_result.json")} | {path.name for path in root.rglob("*.json")})
        seen = ", ".join(others[:3]) or "no JSON files"
        raise UserError(f"--from-results {root}: found {seen}; expected <model>/{GROUP}/{next(iter(_NAMES))} (BFCL v4)")
    return [ResultFolder(path) for path in found]


def _lines(path: Path, mend: bool = False) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    if mend:
        cut_last_line(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"result file {path}: found bytes that are no text ({error}); expected JSON lines") from error
    # Not `splitlines`: it splits at characters that a JSON text may hold.
    lines = [
        _line(line, f"result file {path}, line {number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]
    twice = [id_ for id_, count in Counter(str(line["id"]) for line in lines).items() if count > 1]
    if twice:
        raise UserError(f"result file {path}: entry {twice[0]} stands there more than once; remove all but one of its lines")
    return lines


def _line(text: str, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not whole ({error}); remove the line, or fetch the file anew") from error
    if not isinstance(line, dict) or "id" not in line or "result" not in line:
        found = ", ".join(line) if isinstance(line, dict) else type(line).__name__
        raise UserError(f"{where}: found {found}; expected an object with id and result (BFCL v4)")
    category, _, number = str(line["id"]).rpartition("_")
    if category not in CATEGORIES or not number.isdecimal():
        raise UserError(f"{where}, field id: found {line['id']!r}; expected one such as 'multi_turn_base_17' (BFCL v4)")
    return line
