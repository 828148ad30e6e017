"""Plays tasks several times each and counts what happened."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fission_grpo.environments.base import Environment
from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.error_analysis import count_failures, tools_by_turn
from fission_grpo.evaluation.metrics import Ratio, count_metrics
from fission_grpo.evaluation.records import EpisodeRecord, pool_failures, pool_metrics
from fission_grpo.rollout.driver import stream_episodes
from fission_grpo.rollout.episode import Chat, EpisodeLimits
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.rollout.usage import Usage, usage_of
from fission_grpo.tasks.task import Task
from fission_grpo.types import Tool, Trajectory

AT_ONCE = 256
"""Episodes under way at a time: bounds the memory of environments and of kept prefixes."""

Progress = Callable[[int, int], None]
"""Called with the number of episodes finished and of all."""


@dataclass(frozen=True)
class EvaluationResult:
    """One policy on one set of tasks.

    Attributes:
        records: one an episode, tasks in order, the samples of a task side by side.
        settings: what was asked for, for the report.
        seconds: wall-clock time.
        trajectories: in the order of `records`; empty unless asked for.
    """

    records: tuple[EpisodeRecord, ...]
    settings: Mapping[str, float | int]
    seconds: float
    trajectories: tuple[Trajectory, ...] = ()

    @property
    def metrics(self) -> dict[str, Ratio]:
        return pool_metrics(self.records)

    @property
    def failures(self) -> dict[str, int]:
        return pool_failures(self.records)

    @property
    def infrastructure_failures(self) -> Ratio:
        return Ratio(sum(record.masked for record in self.records), len(self.records))

    @property
    def usage(self) -> Usage:
        prefill = sum(record.prefill_tokens for record in self.records)
        return Usage(prefill, sum(record.sampled_tokens for record in self.records))


def evaluate(
    policy: Policy,
    chat: Chat,
    tasks: Sequence[Task],
    make_environment: Callable[[Task], Environment],
    *,
    samples: int = 4,
    temperature: float = 1.0,
    seed: int = 0,
    limits: EpisodeLimits | None = None,
    max_new_tokens: int = 128,
    progress: Progress | None = None,
    keep_trajectories: bool = False,
) -> EvaluationResult:
    """Plays every task `samples` times.

    Args:
        make_environment: a fresh environment for a task.
        temperature: the published metrics are defined at 1: greedy decoding hides recovery.
        limits: by default those of `EpisodeLimits`.
        max_new_tokens: limit of one message.
    """
    started = time.perf_counter()
    episodes = [(task, sample) for task in tasks for sample in range(samples)]
    kept: dict[int, Trajectory] = {}
    offered: dict[str, Sequence[Sequence[Tool]] | None] = {}

    def record(place: int, trajectory: Trajectory) -> EpisodeRecord:
        task, sample = episodes[place]
        if task.id not in offered and trajectory.verdict is not None:
            offered[task.id] = _tools(task, make_environment)
        if keep_trajectories:
            kept[place] = trajectory
        return record_episode(trajectory, task, sample, offered.get(task.id))

    sampling = Sampling(temperature, max_new_tokens=max_new_tokens, seed=seed)
    played = stream_episodes(
        [task for task, _ in episodes], make_environment, policy, chat, limits or EpisodeLimits(), sampling, at_once=AT_ONCE
    )
    records = record_all(played, record, len(episodes), progress)
    settings = {"tasks": len(tasks), "samples": samples, "temperature": temperature, "seed": seed}
    trajectories = tuple(kept[place] for place in sorted(kept))
    return EvaluationResult(records, settings, time.perf_counter() - started, trajectories)


def record_all(
    played: Iterable[tuple[int, Trajectory]],
    record: Callable[[int, Trajectory], EpisodeRecord],
    count: int,
    progress: Progress | None,
) -> tuple[EpisodeRecord, ...]:
    """Records episodes as they end, in any order; returns the records by the episodes' places."""
    records: dict[int, EpisodeRecord] = {}
    for place, trajectory in played:
        records[place] = record(place, trajectory)
        if progress is not None:
            progress(len(records), count)
    return tuple(records[place] for place in range(count))


def record_episode(trajectory: Trajectory, task: Task, sample: int, tools: Sequence[Sequence[Tool]] | None) -> EpisodeRecord:
    """What is kept of an episode; its mistakes are counted where the tools by turn are known."""
    counts = {name: (ratio.numerator, ratio.denominator) for name, ratio in count_metrics(trajectory, task).items()}
    masked = trajectory.verdict is None
    failures = {} if masked or tools is None else count_failures(trajectory, task, tools)
    usage = usage_of([trajectory])
    return EpisodeRecord(
        task_id=task.id,
        scenario=task.scenario,
        sample=sample,
        stop_reason=trajectory.stop_reason.value,
        counts=counts,
        tags=task.tags,
        failures={kind.value: count for kind, count in failures.items()},
        masked=masked,
        steps=len(trajectory.steps),
        prefill_tokens=usage.prefill_tokens,
        sampled_tokens=usage.sampled_tokens,
    )


def _tools(task: Task, make_environment: Callable[[Task], Environment]) -> Sequence[Sequence[Tool]] | None:
    """The tools by turn; None where the environment fails, which leaves the task's mistakes uncounted, not its metrics."""
    try:
        return tools_by_turn(make_environment(task), task)
    except InfrastructureError:
        return None
