"""The folder of a benchmark run, which a second call takes up: `settings.json`, and `failures.json` where there were any."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError

SETTINGS_FILE = "settings.json"
FAILURES_FILE = "failures.json"


def open_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder, or takes up one that was made with the same settings.

    Args:
        settings: what results depend on, as JSON values.

    Raises:
        UserError: it was made with others, or for something else.
    """
    path = out / SETTINGS_FILE
    if out.exists() and not path.is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it holds something else (no {SETTINGS_FILE}); give a new folder")
    if path.is_file():
        earlier = read_settings(out)
        for name, value in settings.items():
            if earlier.get(name) != value:
                raise UserError(
                    f"--out {out}: its results were made with {name} {earlier.get(name)!r}, not {value!r}; "
                    "give another folder, or the same setting"
                )
        return
    write_whole(path, json.dumps(settings, indent=1) + "\n")


def read_settings(out: Path) -> dict[str, Any]:
    """What `open_folder` wrote.

    Raises:
        UserError: it is broken.
    """
    path = out / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not whole ({error}); give another folder") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path}: found {type(settings).__name__}; expected the settings of a run as an object")
    return cast(dict[str, Any], settings)


def save_failures(out: Path, failures: Mapping[str, str]) -> None:
    """Writes what the infrastructure failed at this time; without failures there is no such file."""
    path = out / FAILURES_FILE
    if failures:
        write_whole(path, json.dumps(failures, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)
