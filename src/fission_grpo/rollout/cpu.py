"""Settings that PyTorch reads once, when it is imported. This module must not import it."""

import os
import sys

from fission_grpo.errors import UserError


def configure_cpu(threads: int | None = None) -> int:
    """Keeps OpenMP threads from spinning, and sets how many there are. To be called before torch is imported.

    With two spinning threads and any other busy process, every operation became 5 to 25 times slower. A setting that the
    user has made in the environment is left alone.

    Args:
        threads: number of threads; None takes `OMP_NUM_THREADS`, else every core this process may run on.

    Returns:
        the number of threads.

    Raises:
        UserError: `threads` or `OMP_NUM_THREADS` is no positive integer.
        RuntimeError: torch was imported already, so that the settings would be without effect.
    """
    if "torch" in sys.modules:
        raise RuntimeError("configure_cpu() must run before torch is imported")
    if threads is not None and threads < 1:
        raise UserError(f"threads: found {threads}, allowed are positive integers")
    if threads is None:
        threads = _threads_of_environment()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its worker threads do not survive a fork
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return threads


def configure_cpu_unless_late() -> None:
    """`configure_cpu`, left out where torch is imported already, as in a notebook."""
    if "torch" not in sys.modules:
        configure_cpu()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads_of_environment() -> int:
    setting = os.environ.get("OMP_NUM_THREADS")
    if setting is None:
        return available_cores()
    if not setting.isdigit() or int(setting) < 1:
        raise UserError(f"OMP_NUM_THREADS: found {setting!r}, allowed are positive integers")
    return int(setting)
