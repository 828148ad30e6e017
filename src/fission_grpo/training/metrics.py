"""TRL's log of an update -> one line of `metrics.jsonl`, and the live progress."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fission_grpo.failures import CHECKED_KINDS
from fission_grpo.training.processes import summed

MetricSink = Callable[[dict[str, Any]], None]
KEPT_LOGS = 100
"""TRL's own logs that stay in memory, and in every checkpoint: without a bound both grow with each update."""
_CONTEXT_COUNTS = ("unanswered", "shortened", "too_long", "escalated")


def step_metrics(logs: Mapping[str, Any], step: int, seconds: float) -> dict[str, Any]:
    """One line of `metrics.jsonl` (fields: docs/runs.md). Rates are shares of the exploration rows."""
    failures = _named(logs, "fission/failures/")
    rows = float(logs.get("exploration/rows", 0.0))
    erred = sum(failures.get(kind, 0.0) for kind in CHECKED_KINDS)
    recoveries = float(logs.get("fission/recoveries", 0.0))
    return {
        "step": step,
        "reward": float(logs["exploration/reward_sum"]) / rows if rows else None,
        "outcome_rate": float(logs["exploration/outcomes"]) / rows if rows else None,
        "error_rate": erred / rows if rows else None,
        "recovery_rate": float(logs.get("fission/recovered", 0.0)) / recoveries if recoveries else None,
        "recovery_rows": recoveries,
        "exploration_rows": rows,
        "exploration_groups": logs.get("exploration/groups", 0.0),
        "exploration_groups_with_signal": logs.get("exploration/groups_with_signal", 0.0),
        "groups_with_signal": logs.get("fission/groups_with_signal", 0.0),
        "recovery_groups": logs.get("fission/recovery_groups", 0.0),
        "pool_size": logs.get("fission/pool_size", 0.0),
        "pool": _named(logs, "fission/pool_"),
        "failures": failures,
        "contexts": {name: logs.get(f"fission/{name}", 0.0) for name in _CONTEXT_COUNTS},
        "feedback": _named(logs, "fission/feedback/"),
        "simulator": _named(logs, "fission/simulator/"),
        "endpoint": _named(logs, "fission/endpoint/"),
        "tokens": _named(logs, "tokens/"),
        "out_of_memory": logs.get("out_of_memory", 0.0),
        "repaired": logs.get("cleaner/repaired", 0.0),
        "collection": _named(logs, "collection/"),
        "loss": logs.get("loss"),
        "learning_rate": logs.get("learning_rate"),
        "grad_norm": logs.get("grad_norm"),
        "entropy": logs.get("entropy"),
        "overhead_seconds": sum(_named(logs, "time/").values()),
        "simulator_seconds": logs.get("time/simulator_seconds", 0.0),
        "seconds": seconds,
    }


class MetricsCallback(TrainerCallback):
    """Hands every update's metrics to the sinks: the run folder's log, the progress display. Cuts TRL's own history of them.

    Args:
        take_counts: what the update met and could not use (`StepTasks.take_counts`).
    """

    def __init__(self, take_counts: Callable[[], Mapping[str, int]], *sinks: MetricSink) -> None:
        self._take_counts = take_counts
        self._sinks = sinks
        self._started = time.perf_counter()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._started = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        del state.log_history[:-KEPT_LOGS]
        if logs is None or ("exploration/rows" not in logs and "recovery/rows" not in logs):
            return
        unused = summed(self._take_counts())  # of all processes, so before the others leave
        if not state.is_world_process_zero:
            return
        record = step_metrics(logs, state.global_step, round(time.perf_counter() - self._started, 4))
        record["unused"] = unused
        for sink in self._sinks:
            sink(record)


class BudgetCallback(TrainerCallback):
    """Ends training at the first update past a budget of tokens processed: prefilled, sampled and trained.

    Args:
        budget: tokens.
        spent: tokens that the run had processed before a resume.
    """

    def __init__(self, budget: int, spent: float = 0.0) -> None:
        self._budget = budget
        self.spent = spent

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self.spent += sum(_named(logs or {}, "tokens/").values())
        control.should_training_stop = control.should_training_stop or self.spent > self._budget


def _named(logs: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(value) for name, value in logs.items() if name.startswith(prefix)}
