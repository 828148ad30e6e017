"""The one place that imports bfcl-eval: lazily, checked, and without letting it write into site-packages."""

import importlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from fission_grpo.errors import UserError

CLASSES: tuple[str, ...] = (
    "GorillaFileSystem",
    "MathAPI",
    "MessageAPI",
    "TicketAPI",
    "TradingBot",
    "TravelAPI",
    "TwitterAPI",
    "VehicleControlAPI",
)
"""The eight API classes of BFCL's multi-turn categories."""

Instances = dict[str, Any]
"""API class name -> live instance."""


@cache
def package_module(name: str = "") -> ModuleType:
    """Imports `bfcl_eval` or its submodule `bfcl_eval.<name>`.

    Raises:
        UserError: bfcl-eval is not installed.
    """
    # bfcl-eval creates result folders on import, beside its own code unless told otherwise.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("BFCL_PROJECT_ROOT", str(cache / "fission-grpo" / "bfcl"))
    try:
        return importlib.import_module(f"bfcl_eval.{name}" if name else "bfcl_eval")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "bfcl_eval":
            raise
        raise UserError(
            "bfcl-eval is not installed; `fission doctor --install bfcl` installs it without its dependencies"
        ) from error


def data_folder() -> Path:
    """Where bfcl-eval keeps tasks, answers and function documents."""
    return Path(str(package_module().__file__)).parent / "data"


@cache
def api_class(name: str) -> type[Any]:
    """The API class of that name.

    Raises:
        UserError: no such class among the eight.
    """
    if name not in CLASSES:
        raise UserError(f"BFCL API class {name!r}: no such class; allowed: {', '.join(CLASSES)}")
    path: str = package_module("constants.executable_backend_config").CLASS_FILE_PATH_MAPPING[name]
    return getattr(package_module(path.removeprefix("bfcl_eval.")), name)


def state_checker() -> Callable[[Instances, Instances], dict[str, Any]]:
    """The official check that two sets of instances hold equal public attributes."""
    return package_module("eval_checker.multi_turn_eval.multi_turn_checker").state_checker


def response_checker() -> Callable[[list[Any], list[Any], int], dict[str, Any]]:
    """The official check that all reference results occur, with multiplicity, among the model's results so far."""
    return package_module("eval_checker.multi_turn_eval.multi_turn_checker").response_checker
