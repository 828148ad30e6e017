"""One process of a faulty run: `fission train` or `fission resume`, with the functions around it wrapped.

    python benchmarks/reliability/injecting/launcher.py PLAN.json

Exit status as the command's: 0 done, 2 stopped with one sentence; -9 where it killed itself, as planned.
"""

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fission_grpo.cli import fail
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.errors import UserError
from fission_grpo.recipe import load_recipe
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.training import checkpoint
from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.runs import train
from fission_grpo.training.trainer import FissionGRPOTrainer

sys.path.insert(0, str(Path(__file__).parents[1]))
from injecting.endpoint import failing_endpoint
from injecting.ledger import Ledger
from injecting.plan import Plan, load_plan

RECIPE = Path(__file__).parents[3] / "recipes" / "bfcl_quick.yaml"
ROOM = 1_000_000
"""Bytes of a file that a failing disk still takes: less than the policy's weights, more than any log grows meanwhile."""


class Injector:
    """Puts the plan's faults into the functions that a run calls."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self._plan = plan
        self._ledger = ledger
        self._calls = 0
        self._clock = 0.0

    def install(self) -> None:
        self._wrap(FissionGRPOTrainer, "_generate_and_score_completions", self._update)
        self._wrap(FissionGRPOTrainer, "_intercept", self._middle)
        self._wrap(FissionGRPOTrainer, "_save_checkpoint", self._save)
        self._wrap(RunFolder, "append", self._append)
        self._wrap(BFCLEnvironment, "call", self._call)
        self._wrap(TransformersPolicy, "_forward", self._forward)
        true_time = time.time
        time.time = lambda: true_time() + self._clock

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any) -> Any:
            return around(original, *arguments)

        setattr(owner, name, wrapped)

    def _once(self, kind: str, updates: tuple[int, ...] | dict[int, Any]) -> bool:
        """Whether a fault is due that was not injected before, which it is now."""
        due = self._ledger.update in updates and not self._ledger.happened(kind, self._ledger.update)
        if due:
            self._ledger.injected(kind)
        return due

    def _update(self, original: Callable[..., Any], trainer: Any, inputs: Any) -> Any:
        self._ledger.update, self._calls = trainer.state.global_step + 1, 0
        if self._once("clock", self._plan.clock):
            self._jump(self._plan.clock[self._ledger.update])
        return original(trainer, inputs)

    def _jump(self, hours: float) -> None:
        """Files keep the time at which they were written: they are moved, and the clock with it."""
        self._clock += 3600 * hours
        for folder in Path(self._plan.run).glob("checkpoint-*"):
            moved = folder.stat().st_mtime - 3600 * hours
            os.utime(folder, (moved, moved))

    def _middle(self, original: Callable[..., Any], trainer: Any, failures: Any) -> Any:
        if self._once("kill", self._plan.kills):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(trainer, failures)

    def _save(self, original: Callable[..., Any], trainer: Any, model: Any, trial: Any) -> Any:
        with _failing_disk(ROOM if self._once("disk/save", self._plan.full_saves) else None):
            self._ledger.update = 0  # what is measured at a checkpoint is asked of an honest endpoint
            return original(trainer, model, trial)

    def _append(self, original: Callable[..., Any], folder: RunFolder, log: str, record: Any) -> Any:
        path = folder.path / log
        full = path.exists() and self._once("disk/log", self._plan.full_logs)
        with _failing_disk(path.stat().st_size + 20 if full else None):
            return original(folder, log, record)

    def _call(self, original: Callable[..., Any], environment: BFCLEnvironment, call: Any) -> Any:
        self._calls += 1
        draw = random.Random(f"environment/{self._plan.seed}/{self._ledger.update}/{self._calls}")
        if self._ledger.update and draw.random() < self._plan.environment_rate:
            self._ledger.injected("environment")
            raise draw.choice([RuntimeError, OSError, KeyError, TimeoutError])("injected")
        return original(environment, call)

    def _forward(self, original: Callable[..., Any], policy: TransformersPolicy, ids_BT: Any, *more: Any) -> Any:
        rows = min((rows for update, rows in self._plan.memory.items() if update <= self._ledger.update), default=None)
        if self._ledger.update and rows is not None and ids_BT.shape[0] > rows:
            self._ledger.injected("memory")
            raise torch.OutOfMemoryError(f"CUDA out of memory. {ids_BT.shape[0]} rows, memory for {rows}.")
        return original(policy, ids_BT, *more)


@contextmanager
def _failing_disk(most: int | None) -> Generator[None]:
    """The kernel writes no file beyond so many bytes: what was to be written breaks off, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def main() -> None:
    plan = load_plan(Path(sys.argv[1]))
    torch.set_num_threads(1)
    run = Path(plan.run)
    ledger = Ledger(run.with_suffix(".ledger.jsonl"))
    resume = (run / "recipe.yaml").exists()
    newest = checkpoint.newest_complete(run) if resume else None
    ledger.resumed(checkpoint.step_of(newest) if newest else 0)
    recipe = load_recipe(run / "recipe.yaml") if resume else load_recipe(RECIPE, plan.overrides)
    Injector(plan, ledger).install()
    with failing_endpoint(plan.port, plan.seed, plan.endpoint_rate, ledger):
        train(recipe, run, resume=resume)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        fail(str(error))
