"""Evaluation in the world of doors."""

from pathlib import Path
from typing import Any

import pytest
from scripted import CharacterChat, Doors, ScriptedPolicy, careful, door_task, stubborn

from fission_grpo.errors import UserError
from fission_grpo.evaluation import evaluate as evaluate_module
from fission_grpo.evaluation.evaluate import EvaluationResult, evaluate
from fission_grpo.evaluation.metrics import METRICS, Ratio
from fission_grpo.evaluation.records import load_records, pool_failures, pool_metrics, save_records
from fission_grpo.tasks.task import Task

TASKS = [door_task(0), door_task(1, ["red"], ["open_hazard"]), door_task(2, ["blue"], [])]


def run(policy: ScriptedPolicy, tasks: list[Task], **settings: Any) -> EvaluationResult:
    return evaluate(policy, CharacterChat(), tasks, lambda task: Doors(), max_new_tokens=300, **settings)


def test_metrics_are_ratios_of_sums_over_samples() -> None:
    result = run(ScriptedPolicy(careful), TASKS, samples=2)
    assert set(result.metrics) == set(METRICS)
    assert result.metrics["solved"] == Ratio(6, 6)
    assert result.metrics["hidden_hazards_solved"] == Ratio(2, 2)
    assert result.metrics["hazard_free_solved"] == Ratio(2, 2)
    assert result.metrics["error_rate"] == Ratio(6, 20)
    assert result.failures == {"runtime_error": 6}
    assert [(record.task_id, record.sample) for record in result.records] == [
        (task.id, sample) for task in TASKS for sample in range(2)
    ]


def test_infrastructure_failures_are_counted_apart() -> None:
    result = run(ScriptedPolicy(stubborn), [*TASKS, door_task(9, tags=["broken"])], samples=2)
    assert result.infrastructure_failures == Ratio(2, 8)
    assert result.metrics["solved"] == Ratio(0, 6)


def test_how_many_are_under_way_does_not_change_what_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(ScriptedPolicy(careful), TASKS, samples=3)
    monkeypatch.setattr(evaluate_module, "AT_ONCE", 2)
    calls: list[tuple[int, int]] = []

    def note(done: int, of_all: int) -> None:
        calls.append((done, of_all))

    policy = ScriptedPolicy(careful)
    two_at_once = run(policy, TASKS, samples=3, progress=note)
    assert two_at_once.records == whole.records
    assert calls == [(done, 9) for done in range(1, 10)]
    assert len({sampling.seed for sampling in policy.samplings}) == len(policy.samplings)


def test_records_survive_their_file_and_pool_over_runs(tmp_path: Path) -> None:
    first, second = run(ScriptedPolicy(careful), TASKS), run(ScriptedPolicy(stubborn), TASKS)
    save_records(first.records, tmp_path / "a" / "records.jsonl")
    loaded = load_records(tmp_path / "a" / "records.jsonl")
    assert tuple(loaded) == first.records
    pooled = pool_metrics([*loaded, *second.records])
    assert pooled["solved"] == first.metrics["solved"] + second.metrics["solved"]
    assert sum(pool_failures([*loaded, *second.records]).values()) == sum(first.failures.values()) + sum(
        second.failures.values()
    )
    assert first.usage.sampled_tokens == sum(record.sampled_tokens for record in loaded) > 0


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"task_id": "t"}\n')
    with pytest.raises(UserError, match="line 1, field scenario"):
        load_records(path)
    with pytest.raises(UserError, match="no such file"):
        load_records(tmp_path / "none")


def test_trajectories_are_kept_on_request() -> None:
    assert run(ScriptedPolicy(careful), TASKS).trajectories == ()
    kept = run(ScriptedPolicy(careful), TASKS, samples=1, keep_trajectories=True).trajectories
    assert [trajectory.task_id for trajectory in kept] == [task.id for task in TASKS]
