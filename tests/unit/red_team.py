"""The red-team corpus: `tests/fixtures/red_team/`, one attack a line, with what must answer it.

A text may be given in pieces, of which `{"repeat": "a", "times": 60000}` stands for a long one.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "fixtures" / "red_team"


def attacks(file: str) -> list[Any]:
    """The lines of a file, with their pieces put together; each has a `name`."""
    lines = (FOLDER / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: _whole(key, value) for key, value in json.loads(line).items()} for line in lines]


def name_of(attack: Any) -> str:
    """What a test of it is called."""
    return attack["name"].replace(" ", "_")


def _whole(key: str, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    if isinstance(value, list):
        pieces = [_whole(key, item) for item in value]
        is_text = (key in ("text", "expression") and len(pieces) > 1) or pieces != value
        return "".join(pieces) if is_text and all(isinstance(piece, str) for piece in pieces) else pieces
    if isinstance(value, dict):
        return {name: _whole(name, item) for name, item in value.items()}
    return value
