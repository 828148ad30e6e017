"""Judges results in processes of their own: no network there, and one that hangs is killed, the others go on.

Processes and never threads: mpmath's precision is one for all threads, and changes verdicts.
"""

import multiprocessing
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as OutOfTime
from dataclasses import dataclass, field
from typing import Any, cast

from pebble import ProcessExpired, ProcessPool

from fission_grpo.evaluation.bfcl.entries import task_of
from fission_grpo.evaluation.bfcl.records import record_of
from fission_grpo.evaluation.bfcl.replay import OfficialVerdict, Turns, replay
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.rollout.cpu import available_cores

CHUNK = 128
"""Results judged in one go: a message between processes costs more than a verdict."""
TIMEOUT = 60.0
"""Seconds that one result may take; arguments that hang are refused long before (`environments.bfcl.limits`)."""


@dataclass(frozen=True)
class Job:
    """One result to be judged.

    Attributes:
        turns: its calls by turn and message, None where the entry broke off in inference.
        answers: what its log says that the calls were answered, in order; empty where that is not known.
    """

    task_id: str
    turns: Turns | None
    model: str
    sample: int = 0
    answers: Sequence[str] = ()


@dataclass(frozen=True)
class Judged:
    """A job's verdict, and its counts; both None where judging it failed or took too long, which `fault` says.

    Attributes:
        other_answers: logged answers that are not what the call is answered here, of all logged ones.
    """

    job: Job
    verdict: OfficialVerdict | None
    record: EpisodeRecord | None
    fault: str = ""
    other_answers: Ratio = field(default_factory=Ratio)


def judge(job: Job) -> Judged:
    """Judges one result in this process."""
    task = task_of(job.task_id)
    played = replay(task, job.turns, job.model)
    answers = played.answers
    differing = sum(logged != found for logged, found in zip(job.answers, answers, strict=False))
    differing += abs(len(job.answers) - len(answers)) if job.answers else 0
    record = record_of(task, played, job.sample)
    return Judged(job, played.verdict, record, other_answers=Ratio(differing, len(job.answers)))


def judge_all(jobs: Iterable[Job], processes: int | None = None, timeout: float = TIMEOUT) -> Iterator[Judged]:
    """Judges results, in order.

    Args:
        processes: by default one a core.
        timeout: seconds a result.
    """
    # Forked once from a process that has loaded neither torch nor threads: quick to start, and safe.
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    with ProcessPool(processes or available_cores(), initializer=_cut_off, context=cast(Any, context)) as pool:
        waiting = list(jobs)
        chunks = [waiting[start : start + CHUNK] for start in range(0, len(waiting), CHUNK)]
        # A chunk has the time of one result, which is plenty: else one that hangs would hold up the others CHUNK times.
        results = cast(Any, pool.map(_judge_chunk, chunks, timeout=timeout)).result()
        for chunk in chunks:
            try:
                yield from cast(Sequence[Judged], next(results))
            except (OutOfTime, ProcessExpired):
                yield from (_alone(pool, job, timeout) for job in chunk)


def _judge_chunk(chunk: Sequence[Job]) -> list[Judged]:
    return [judge(job) for job in chunk]


def _alone(pool: ProcessPool, job: Job, timeout: float) -> Judged:
    """One of a chunk in which something hung or died."""
    try:
        return cast(Judged, cast(Any, pool.schedule(judge, args=[job], timeout=timeout)).result())
    except OutOfTime:
        return Judged(job, None, None, f"judging took more than {timeout:g} s")
    except ProcessExpired as error:
        return Judged(job, None, None, f"the judging process died with exit code {error.exitcode}")


def _cut_off() -> None:
    """Takes the network away from a judging process: nothing that it executes has any business there."""
    cast(Any, socket).socket = _NoSocket


class _NoSocket(socket.socket):
    """A class, because others derive from it (`ssl`)."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise OSError("a judging process has no network")
