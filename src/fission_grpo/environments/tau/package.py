"""Which TAU-Bench is there: the official package, which is on no registry, or tau2's tasks in its stead."""

import hashlib
import importlib
import os
from dataclasses import asdict
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from fission_grpo.environments.tau2.package import check_litellm, provenance
from fission_grpo.errors import UserError

DOMAINS: tuple[str, ...] = ("retail", "airline")

OFFICIAL_INSTALL = "pip install git+https://github.com/sierra-research/tau-bench"
"""What brings the official package."""


class Mode(StrEnum):
    """What a score is one of."""

    OFFICIAL = "tau-bench"
    """The official package's tasks, tools and rewards."""
    COMPATIBLE = "tau-bench v1-compatible (tasks, tools and rewards of tau2)"
    """The first version's protocol over tau2's tasks. Not a score of TAU-Bench."""


def mode() -> Mode:
    """The mode that tasks are made in: official where the package is installed."""
    return Mode.COMPATIBLE if find_spec("tau_bench") is None else Mode.OFFICIAL


@cache
def tau_module(name: str) -> ModuleType:
    """Imports `tau_bench.<name>` of the official package.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    if find_spec("tau_bench") is None:
        raise UserError(f"tau-bench's official package is not installed; `{OFFICIAL_INSTALL}`")
    check_litellm()
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        return importlib.import_module(f"tau_bench.{name}")
    except ImportError as error:
        missing = error.name or str(error)
        raise UserError(f"tau_bench cannot be imported ({missing!r} is missing); `{OFFICIAL_INSTALL}`") from error


def check_domain(domain: str) -> None:
    """Raises:
    UserError: no such domain.
    """
    if domain not in DOMAINS:
        raise UserError(f"tau-bench domain {domain!r}: no such domain; allowed: {', '.join(DOMAINS)}")


def tau_provenance(domain: str) -> dict[str, Any]:
    """What a score depends on besides the policy; `mode` says what it is a score of.

    Raises:
        UserError: no such domain, or neither package is installed as it must be.
    """
    check_domain(domain)
    if mode() is Mode.COMPATIBLE:
        return {"mode": Mode.COMPATIBLE.value, **asdict(provenance(domain))}
    file = Path(str(tau_module(f"envs.{domain}.tasks_test").__file__))
    return {
        "mode": Mode.OFFICIAL.value,
        "domain": domain,
        "task_file": file.name,
        "task_file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
