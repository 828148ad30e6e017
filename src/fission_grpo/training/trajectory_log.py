"""The lines of a run folder's `trajectories/`: one a group, of exploration or of recovery (docs/runs.md).

Exploration groups and recovery groups are tied by the key of the failure that leads from one to the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fission_grpo.chat.template import ChatFormat
from fission_grpo.failure_files import failure_to_json
from fission_grpo.training.methods.base import Advantage
from fission_grpo.training.rollouts import Rollout
from fission_grpo.types import CorrectiveContext, Failure, Message

KEY_LENGTH = 16
"""Hex characters of a failure's key: enough to tell those of one run apart."""


@dataclass(frozen=True)
class LoggedRollout:
    """What is written of one rollout. Light, because it travels between processes.

    Attributes:
        messages: x of an exploration rollout as chat messages; the same for its whole group.
        segments: the completion as texts, each with whether the policy wrote it.
        failure: what the pool was offered of it.
        copied: as in `Rollout`.
    """

    task_id: str
    scenario: str
    messages: Sequence[Message]
    text: str
    segments: Sequence[tuple[str, bool]]
    reward: float | None
    outcome: bool
    advantage: Advantage
    failure: Mapping[str, Any] | None = None
    copied: bool = False


def logged(rollout: Rollout, advantage: Advantage, chat: ChatFormat, failure: Failure | None = None) -> LoggedRollout:
    """The rollout as it is written down."""
    return LoggedRollout(
        task_id=str(rollout.row.get("id", "")),
        scenario=str(rollout.row.get("scenario", "")),
        messages=rollout.messages,
        text=rollout.text,
        segments=_segments(rollout, chat),
        reward=rollout.reward,
        outcome=rollout.outcome,
        advantage=advantage,
        failure=None if failure is None else _pointer(failure),
        copied=rollout.copied,
    )


def exploration_record(step: int, group: Sequence[LoggedRollout]) -> dict[str, Any]:
    """One exploration group.

    Args:
        step: the update that trains it, as `metrics.jsonl` counts.
    """
    return {
        "step": step,
        "task_id": group[0].task_id,
        "scenario": group[0].scenario,
        "messages": list(group[0].messages),
        "rollouts": [
            {
                "segments": each.segments,
                "reward": each.reward,
                "outcome": each.outcome,
                "advantage": each.advantage,
                "failure": each.failure,
            }
            for each in group
        ],
    }


def recovery_record(step: int, context: CorrectiveContext, group: Sequence[LoggedRollout]) -> dict[str, Any]:
    """One recovery group. `step` as in `exploration_record`."""
    feedback = context.feedback
    return {
        "step": step,
        "key": context.failure.key[:KEY_LENGTH],
        "failure": failure_to_json(context.failure, without=("tools",)),
        "feedback": {
            "text": feedback.text,
            "source": feedback.source,
            "level": int(feedback.level),
            "kind": feedback.kind,
            "replaced": feedback.replaced,
        },
        "recoveries": [
            {
                "text": each.text,
                "segments": each.segments,
                "reward": each.reward,
                "outcome": each.outcome,
                "advantage": each.advantage,
            }
            for each in group
        ],
    }


def _pointer(failure: Failure) -> dict[str, Any]:
    return {
        "key": failure.key[:KEY_LENGTH],
        "kind": failure.kind,
        "error_kind": failure.error_kind,
        "turn": failure.turn,
    }


def _segments(rollout: Rollout, chat: ChatFormat) -> list[tuple[str, bool]]:
    segments: list[tuple[str, bool]] = []
    end = 0
    for start, stop in [*rollout.spans, (len(rollout.completion_ids), len(rollout.completion_ids))]:
        for first, last, own in ((end, start, False), (start, stop, True)):
            if last > first:
                segments.append((chat.decode(rollout.completion_ids[first:last]), own))
        end = stop
    return segments
