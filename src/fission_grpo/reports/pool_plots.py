"""Whether groups teach anything, and how the pool of failures fares, over the updates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fission_grpo.reports.data import Run
from fission_grpo.reports.plots import Panel, small_multiples


def signal_curves(runs: Sequence[Run]) -> str:
    """Share of groups without signal, of exploration and of recovery apart. Empty where it was not logged."""
    panels = [
        Panel("exploration", lambda step: _without(step, "exploration_groups_with_signal", "exploration_groups")),
        Panel("recovery", lambda step: _without(step, "groups_with_signal", "recovery_groups")),
    ]
    return small_multiples(runs, panels)


def pool_curves(runs: Sequence[Run]) -> str:
    """Size, mean age and yield of the pool. Empty where no run has one."""
    panels = [
        Panel("size", lambda step: _pool(step).get("size", step.get("pool_size"))),
        Panel("mean age", lambda step: _pool(step).get("mean_age")),
        Panel("yield", lambda step: step.get("recovery_rate")),
    ]
    return small_multiples([run if _has_pool(run) else replace(run, steps=()) for run in runs], panels)


def _has_pool(run: Run) -> bool:
    """A method without a pool may log one that stays empty."""
    return any(_pool(step).get("size") or step.get("pool_size") for step in run.steps)


def _pool(step: Mapping[str, Any]) -> Mapping[str, Any]:
    return step.get("pool") or {}


def _without(step: Mapping[str, Any], with_signal: str, groups: str) -> float | None:
    if not step.get(groups) or step.get(with_signal) is None:
        return None
    return 1 - step[with_signal] / step[groups]
