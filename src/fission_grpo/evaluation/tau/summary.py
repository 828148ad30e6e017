"""From conversations to what is published: pass^k, what it is above doing nothing, recovery, each with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fission_grpo.evaluation.metrics import (
    Ratio,
    error_rate,
    format_error_rate,
    recovery_rate_call,
    recovery_rate_task,
    repeat_rate,
)
from fission_grpo.evaluation.pass_hat import PassRow, above_baseline, pass_rows
from fission_grpo.evaluation.records import EpisodeRecord, pool_failures
from fission_grpo.evaluation.statistics import Interval, SummaryRow, summary
from fission_grpo.types import StopReason

RECOVERY = tuple(
    metric.__name__ for metric in (recovery_rate_task, recovery_rate_call, repeat_rate, error_rate, format_error_rate)
)
"""What is said of recovery. A conversation is one turn: recovery by turn would be recovery by task once more."""


@dataclass(frozen=True)
class TauSummary:
    """One model's conversations.

    Attributes:
        settings: what they were made with.
        records: of all trials that were played to their end.
        trials: wanted of every task.
        missing: conversations that were asked for and are not there.
        infrastructure_failures: of them, those that failed at this time.
        baseline: by task, whether doing nothing solves it.
    """

    settings: Mapping[str, Any]
    records: Sequence[EpisodeRecord]
    trials: int
    missing: int
    infrastructure_failures: int
    baseline: Mapping[str, bool]

    @property
    def model(self) -> str:
        return str(self.settings["model"])

    @cached_property
    def passes(self) -> list[PassRow]:
        """pass^1 to pass^k."""
        return pass_rows(self.records, self.trials)

    @cached_property
    def doing_nothing(self) -> Ratio:
        """The baseline on the tasks that were played; its pass^k is the same for every k."""
        played = {record.task_id for record in self.records}
        return Ratio(sum(self.baseline[task] for task in played), len(played))

    @cached_property
    def above(self) -> tuple[float, Interval]:
        """pass^1 minus the baseline."""
        return above_baseline(self.records, self.baseline)

    @cached_property
    def recovery(self) -> list[SummaryRow]:
        """Ratios of sums; tasks are drawn, trials stay with theirs."""
        return summary([self.records], RECOVERY)

    @property
    def context_exceeded(self) -> int:
        """Conversations that outgrew the model's context; they count as unsolved."""
        return sum(record.stop_reason == StopReason.TOKEN_LIMIT for record in self.records)

    def as_json(self) -> dict[str, object]:
        """The figures as they are kept in `scores.json`."""
        above, interval = self.above
        return {
            **self.settings,
            "trials": self.trials,
            "pass": {
                f"pass^{row.k}": {"value": _number(row.value), "tasks": row.tasks, "interval": _ends(row.interval)}
                for row in self.passes
            },
            "doing_nothing": _cell(self.doing_nothing, None),
            "above_doing_nothing": {"value": _number(above), "interval": _ends(interval)},
            "recovery": {row.metric: _cell(row.ratio, row.interval) for row in self.recovery},
            "mistakes": pool_failures(self.records),
            "conversations": len(self.records),
            "missing": self.missing,
            "infrastructure_failures": self.infrastructure_failures,
            "context_exceeded": self.context_exceeded,
            "tokens": {
                "read": sum(record.prefill_tokens for record in self.records),
                "written": sum(record.sampled_tokens for record in self.records),
            },
        }


def _cell(ratio: Ratio, interval: Interval | None) -> dict[str, object]:
    cell: dict[str, object] = {"value": ratio.value, "numerator": ratio.numerator, "denominator": ratio.denominator}
    return cell if interval is None else {**cell, "interval": _ends(interval)}


def _number(value: float) -> float | None:
    """NaN is no JSON."""
    return None if math.isnan(value) else value


def _ends(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval.low) else [interval.low, interval.high]
