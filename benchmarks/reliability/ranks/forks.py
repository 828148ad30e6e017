"""Processes of one run, forked from one that has loaded the libraries: loading them takes longer than a small run.

What the run says to the terminal of each process, and what was seen in it, lies beside the run folder.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import accelerate.state
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

import fission_grpo.training.runs as runs
from fission_grpo.recipe import load_recipe
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.trainer import FissionGRPOTrainer

RECIPE = Path(__file__).parents[3] / "recipes" / "bfcl_quick.yaml"
PATIENCE = 400.0
"""Seconds after which processes that are still there count as hanging."""
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
"""What `accelerate launch` makes of `recipes/accelerate/fsdp2.yaml`."""


@dataclass(frozen=True)
class Death:
    """SIGKILL to one process when it calls something the nth time."""

    rank: int
    owner: type
    method: str
    call: int


@dataclass
class Seen:
    """What happened in one process.

    Attributes:
        weights: their hash at the end.
        contexts: keys of the contexts of every update.
        passes: forward passes of sampling in every update.
        restored: whether the engine's state after loading was that of the checkpoint; None without a resume.
    """

    weights: str = ""
    contexts: list[list[str]] = field(default_factory=list[list[str]])
    passes: list[int] = field(default_factory=list[int])
    restored: bool | None = None


@dataclass(frozen=True)
class Ended:
    """Processes that have ended.

    Attributes:
        statuses: exit statuses by rank; negative after a signal, None for one that hung and was ended.
        seconds: from the first end of a process to the last.
        seen: by rank, of those that came to their end.
    """

    statuses: list[int | None]
    seconds: float
    seen: list[Seen]

    @property
    def well(self) -> bool:
        return all(status == 0 for status in self.statuses)


def run_processes(
    count: int,
    folder: Path,
    settings: tuple[str, ...] = (),
    *,
    sharded: bool = False,
    spared: int | None = None,
    death: Death | None = None,
) -> Ended:
    """Trains a run on so many processes, or continues it where the folder holds one.

    Args:
        settings: of the recipe, in a new run.
        sharded: FSDP2 instead of DDP.
        spared: a rank whose rollouts teach nothing.
    """

    def act(rank: int) -> None:
        report = _beside(folder, rank, "json")
        report.unlink(missing_ok=True)
        if sharded:
            _shard_on_gloo()
        if death is not None and death.rank == rank:
            _die(death)
        seen = Seen()
        runs.build_trainer = _watching(runs.build_trainer, seen, spared == rank)
        resume = (folder / "recipe.yaml").exists()
        runs.train(RunFolder(folder).recipe() if resume else load_recipe(RECIPE, settings), folder, resume=resume)
        report.write_text(json.dumps(asdict(seen)), encoding="utf-8")

    statuses, seconds = fork_processes(count, act, folder, FSDP2 if sharded else {})
    reports = [_beside(folder, rank, "json") for rank in range(count)]
    seen = [Seen(**json.loads(report.read_text())) for report in reports if report.exists()]
    return Ended(statuses, seconds, seen)


def fork_processes(
    count: int, act: Callable[[int], None], beside: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[int | None], float]:
    """Processes of one group, each of which does `act` of its rank; statuses and seconds as in `Ended`.

    Args:
        beside: next to it lies what they say to their terminals.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_live, args=(rank, {**place, **environment}, beside, act)) for rank in range(count)]
    for process in processes:
        process.start()
    return _wait(processes)


def said(folder: Path, rank: int) -> str:
    """What one process wrote on its terminal."""
    return _beside(folder, rank, "log").read_text(encoding="utf-8")


def _beside(folder: Path, rank: int, kind: str) -> Path:
    return folder.with_name(f"{folder.name}.rank-{rank}.{kind}")


def _wait(processes: list[ForkProcess]) -> tuple[list[int | None], float]:
    started, first = time.monotonic(), None
    while any(process.is_alive() for process in processes):
        if first is None and not all(process.is_alive() for process in processes):
            first = time.monotonic()
        if time.monotonic() - started > PATIENCE:
            break
        time.sleep(0.05)
    statuses = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return statuses, time.monotonic() - (first or started)


def _live(rank: int, environment: Mapping[str, str], beside: Path, act: Callable[[int], None]) -> None:
    """The life of one process."""
    os.environ.update({**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)})
    terminal = os.open(_beside(beside, rank, "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    try:
        act(rank)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _shard_on_gloo() -> None:
    """accelerate shards on accelerators only: these processes pass for such."""
    found = ("gloo", DistributedType.MULTI_GPU)
    accelerate.state.PartialState._prepare_backend = lambda *_arguments, **_named: found  # type: ignore[method-assign]


def _die(death: Death) -> None:
    original, calls = getattr(death.owner, death.method), 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == death.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(death.owner, death.method, dying)


def _watching(build: Callable[..., Any], seen: Seen, spared: bool) -> Callable[..., Any]:
    """`build_trainer` that notes what its trainer does."""

    def watched(*arguments: Any) -> FissionGRPOTrainer:
        trainer: Any = build(*arguments)
        policy: Any = TransformersPolicy
        pop, save, load, forward = (
            trainer._pop_contexts,
            trainer.save_model,
            trainer.engine.load_state_dict,
            policy._forward,
        )

        def popping(rows: int) -> Any:
            contexts = pop(rows)
            seen.contexts.append([context.failure.key for context in contexts])
            seen.passes.append(0)
            return contexts

        def passing(*tensors: Any) -> Any:
            if seen.passes:
                seen.passes[-1] += 1
            return forward(*tensors)

        def loading(state: dict[str, Any]) -> None:
            load(state)
            seen.restored = trainer.engine.state_dict() == state

        def saving(*places: Any, **named: Any) -> None:
            if not named.get("_internal_call"):
                seen.weights = _digest(trainer)
            save(*places, **named)

        trainer._pop_contexts, trainer.engine.load_state_dict, trainer.save_model = popping, loading, saving
        policy._forward = passing
        if spared:
            trainer._failure_fn = _nothing
        return trainer

    return watched


def _nothing(_: object) -> None:
    """What a spared process's rollouts teach."""


def _digest(trainer: Any) -> str:
    digest = hashlib.sha256()
    for weight in trainer.accelerator.unwrap_model(trainer.model_wrapped).parameters():
        whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
        digest.update(whole.detach().numpy().tobytes())
    return digest.hexdigest()
