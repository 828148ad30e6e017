"""Failures as JSON: what a simulator needs to know of one, without the states that only a running environment has."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fission_grpo.errors import UserError
from fission_grpo.json_lines import read_json_lines
from fission_grpo.types import Failure

_FAILURE = TypeAdapter(Failure)
_LEFT_OUT = {"snapshot", "target", "prompt_ids", "completion_ids", "row"}


def failure_to_json(failure: Failure, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The failure as a JSON object.

    Args:
        without: fields to be left out besides states, token ids and the dataset row.
    """
    return _FAILURE.dump_python(failure, mode="json", exclude={*_LEFT_OUT, *without})


def failure_from_json(record: Mapping[str, Any]) -> Failure:
    """The failure of a JSON object; it has no token ids and no states.

    Raises:
        ValidationError: pydantic's, a `ValueError`: a field is missing or of the wrong type.
    """
    return _FAILURE.validate_python({"prompt_ids": (), "completion_ids": (), **record})


def save_failures(failures: Iterable[Failure], path: Path) -> None:
    """Writes one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(failure_to_json(failure), ensure_ascii=False) + "\n" for failure in failures), "utf-8"
    )


def load_failures(path: Path) -> list[Failure]:
    """Reads what `save_failures` wrote.

    Raises:
        UserError: no such file, or a broken line.
    """
    if not path.is_file():
        raise UserError(f"failures {path}: no such file; `fission simulator collect` writes one")
    return read_json_lines(path, "failures", failure_from_json, "a failure")
