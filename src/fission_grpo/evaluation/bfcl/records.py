"""What is counted of an entry: every recovery metric over all calls, by API class, and by kind of error."""

from collections.abc import Iterator

from fission_grpo.environments.bfcl.executor import method_table
from fission_grpo.evaluation.bfcl.replay import Replay
from fission_grpo.evaluation.metrics import (
    Ratio,
    call_events,
    error_rate,
    recovered_later,
    recovery_rate_call,
    recovery_rate_task,
    recovery_rate_turn,
    repeat_rate,
    repeated_later,
    soft_failure_rate,
    turn_recovery,
)
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.failures import error_kind_of
from fission_grpo.tasks.task import Task
from fission_grpo.types import StopReason, Trajectory

ACCURACY = "accuracy"
METRICS = (
    recovery_rate_turn,
    recovery_rate_task,
    recovery_rate_call,
    repeat_rate,
    error_rate,
    soft_failure_rate,
)
BY_CLASS, BY_KIND = "class", "kind"


def slice_name(metric: str, dimension: str, value: str) -> str:
    """The name of a metric over a part of the calls.

    >>> slice_name("repeat_rate", BY_KIND, "not_found")
    'repeat_rate|kind=not_found'
    """
    return f"{metric}|{dimension}={value}"


def record_of(task: Task, played: Replay, sample: int) -> EpisodeRecord:
    """One entry of one model, counted. An entry that broke off in inference is wrong, and counts in no recovery metric."""
    counts: dict[str, Ratio] = {ACCURACY: Ratio(int(played.verdict.valid), 1)}
    trajectory = played.trajectory
    if trajectory is not None:
        counts |= {metric.__name__: metric(trajectory, task) for metric in METRICS}
        for name, ratio in _slices(trajectory, task):
            counts[name] = counts.get(name, Ratio()) + ratio
    return EpisodeRecord(
        task_id=task.id,
        scenario=task.scenario,
        sample=sample,
        stop_reason=(trajectory.stop_reason if trajectory else StopReason.TOKEN_LIMIT).value,
        counts={name: (ratio.numerator, ratio.denominator) for name, ratio in counts.items()},
        tags=(*task.tags, *([played.verdict.error_type] if played.verdict.error_type else [])),
        steps=len(trajectory.steps) if trajectory else 0,
    )


def _slices(trajectory: Trajectory, task: Task) -> Iterator[tuple[str, Ratio]]:
    """Recovery and repetition of every erred call, and recovery of every turn by the first call that erred in it."""
    classes = {name: method.class_name for name, method in method_table(task.classes).items()}
    events = call_events(trajectory)
    seen: set[int] = set()
    for place, event in enumerate(events):
        api = classes.get(event.call.name, "unknown tool")
        yield slice_name("error_rate", BY_CLASS, api), Ratio(int(event.result.is_error), 1)
        if not event.result.is_error:
            continue
        parts = {BY_CLASS: api, BY_KIND: error_kind_of(event.result.content).value}
        later = [other for other in events[place + 1 :] if other.turn == event.turn]
        ratios = {
            "recovery_rate_call": Ratio(int(any(recovered_later(event, other) for other in later)), 1),
            "repeat_rate": Ratio(int(any(repeated_later(event, other) for other in later)), 1),
        }
        if event.turn not in seen:
            seen.add(event.turn)
            ratios["recovery_rate_turn"] = turn_recovery(trajectory, task, event.turn)
        for dimension, value in parts.items():
            yield from ((slice_name(metric, dimension, value), ratio) for metric, ratio in ratios.items())
