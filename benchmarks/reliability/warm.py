"""Processes that start warm. Importing torch and TRL costs ten seconds of CPU: a fork server of the standard library imports
them once, and each process is a fork of it. That is sound with one OpenMP thread: then the server has no thread but
jemalloc's own, which a fork survives.
"""

import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
_IMPORTED = ["fission_grpo.training.runs", "fission_grpo.cli", "fission_grpo.environments.bfcl", "openai"]


def start_warm(main: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Starts a process that calls a function of a module, with arguments that can be pickled."""
    os.environ |= ENVIRONMENT  # read by the server when it imports torch
    context = get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=main, args=arguments)
    process.start()
    return process


def write_into(log: Path) -> None:
    """From here on, what this process says goes to the end of a file."""
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
