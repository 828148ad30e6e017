"""A queue of jobs over the devices of this machine: one process a job, which ends when this process does.

A job is free to import torch; this module does not. A job that fails takes no other down: its sentence is kept and its log
named. Nothing is asked of a job that is stopped: it has to leave its files so that the next call can take it up.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Protocol

from fission_grpo.errors import UserError
from fission_grpo.rollout.cpu import available_cores, configure_cpu

Tell = Callable[[Any], None]
"""Sends an event to the process that started the job; it may be anything that can be pickled."""
_PATIENCE = 10.0
"""Seconds that a stopped worker has to leave by itself."""


@dataclass(frozen=True)
class Device:
    """Where one job runs at a time.

    Attributes:
        threads: of the CPU.
        gpu: for `CUDA_VISIBLE_DEVICES`; None where there is none.
    """

    threads: int
    gpu: str | None = None


@dataclass(frozen=True)
class Job:
    """Something to do in a process of its own.

    Attributes:
        log: takes whatever is printed meanwhile, appended.
        work: must be picklable.
    """

    name: str
    log: Path
    work: Callable[[Tell], None]


@dataclass(frozen=True)
class Failure:
    """A job that did not end well."""

    name: str
    sentence: str
    log: Path


class Observer(Protocol):
    """Is told what becomes of the jobs, in the process that started them."""

    def started(self, name: str, /) -> None: ...

    def told(self, name: str, event: Any, /) -> None: ...

    def ended(self, name: str, failure: Failure | None, /) -> None: ...


def devices_of_machine(jobs: int | None = None) -> list[Device]:
    """The places that jobs run in: a GPU each, else a core each. They share the cores.

    Args:
        jobs: how many at a time; GPUs are shared where there are fewer.

    Raises:
        UserError: `jobs` is not positive.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs: found {jobs}, allowed are positive integers")
    gpus, cores = _gpus(), available_cores()
    count = jobs or len(gpus) or cores
    threads = max(1, cores // count)
    return [Device(threads, gpus[index % len(gpus)] if gpus else None) for index in range(count)]


def run_jobs(jobs: Sequence[Job], devices: Sequence[Device], observer: Observer) -> list[Failure]:
    """Does all jobs, in order, as many at a time as there are devices. Returns those that failed.

    Whatever is raised meanwhile, Ctrl-C or an error of the observer, ends the workers and goes on its way.
    """
    waiting, idle = deque(jobs), list(devices)
    running: dict[Connection, _Worker] = {}
    failures: list[Failure] = []
    try:
        while waiting or running:
            while waiting and idle:
                worker = _start(waiting.popleft(), idle.pop(0))
                running[worker.connection] = worker
                observer.started(worker.job.name)
            for connection in wait(list(running), timeout=1.0):
                assert isinstance(connection, Connection)
                worker = running[connection]
                if _takes_event(worker, observer):
                    continue
                del running[connection]
                idle.append(worker.device)
                failure = worker.end()
                failures += [failure] if failure is not None else []
                observer.ended(worker.job.name, failure)
    finally:
        _stop(list(running.values()))
    return failures


@dataclass
class _Worker:
    """A running job. `sentence` is what it said of its failure."""

    job: Job
    device: Device
    process: SpawnProcess
    connection: Connection
    sentence: str | None = None

    def end(self) -> Failure | None:
        self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        if not code and self.sentence is None:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        return Failure(self.job.name, self.sentence or how, self.job.log)


@dataclass(frozen=True)
class _Failed:
    """The last thing that a failing worker tells."""

    sentence: str


def _start(job: Job, device: Device) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(job, device, theirs), name=job.name)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    process.start()
    theirs.close()  # or the end of the worker would not be the end of the pipe
    return _Worker(job, device, process, ours)


def _takes_event(worker: _Worker, observer: Observer) -> bool:
    """Passes on one event; False where there will be no more."""
    try:
        event = worker.connection.recv()
    except (EOFError, OSError):
        return False
    if isinstance(event, _Failed):
        worker.sentence = event.sentence
    else:
        observer.told(worker.job.name, event)
    return True


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_PATIENCE)
        worker.process.kill()


def _main(job: Job, device: Device, connection: Connection) -> None:
    """The main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    with job.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if device.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device.gpu
    configure_cpu(device.threads)
    try:
        job.work(connection.send)
    except UserError as error:
        if error.__cause__ is not None:
            traceback.print_exc()
        connection.send(_Failed(str(error)))
    except Exception as error:
        traceback.print_exc()
        connection.send(_Failed(f"{type(error).__name__}: {error}"))


def _leave_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it ended: two must not write the same files."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _gpus() -> list[str]:
    """Names of the GPUs for `CUDA_VISIBLE_DEVICES`: those it names already, else those that the driver's tool lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return listed.stdout.split()
    return []
