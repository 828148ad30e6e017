"""Plots and tables on what remains: failures by kind, groups without signal, the pool."""

from pathlib import Path

from sample_runs import write_lines, write_run

from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.reports.data import Evaluation, load_runs
from fission_grpo.reports.pool_plots import pool_curves, signal_curves
from fission_grpo.reports.remaining import remaining_failures


def policy(label: str, episodes: int, **failures: int) -> Evaluation:
    blank = [EpisodeRecord(f"{index}", "s", 0, "completed", {}) for index in range(episodes - 1)]
    return Evaluation(label, [EpisodeRecord("x", "s", 0, "completed", {}, failures=failures), *blank])


def test_kinds_that_remain_stand_first_with_their_change() -> None:
    start = policy("Start", 50, runtime_error=20, wrong_tool=4, malformed_call=5)
    grid = remaining_failures([start, policy("GRPO", 100, runtime_error=10, missing_call=3, wrong_tool=12)])
    assert grid is not None and grid.heads == ["GRPO"]
    rows = {label: cells[0] for label, cells in grid.rows}
    assert list(rows) == ["wrong tool", "runtime error", "missing call", "malformed call", "all kinds"]
    told = {label: (cell.text, cell.counts, cell.interval) for label, cell in rows.items() if cell}
    assert told["wrong tool"] == ("12.0", "12", "+4.0 from 4")
    assert told["malformed call"] == ("0.0", "0", "-10.0 from 5")
    assert told["all kinds"] == ("25.0", "25", "-33.0 from 29")


def test_without_a_start_nothing_is_called_a_change() -> None:
    grid = remaining_failures([policy("GRPO", 10, wrong_tool=1)])
    assert grid is not None and all(cell and not cell.interval for _, (cell,) in grid.rows)
    assert remaining_failures([policy("Start", 10, wrong_tool=1)]) is None


def test_signal_and_pool_are_drawn_where_they_were_logged(tmp_path: Path) -> None:
    fission, grpo = load_runs([write_run(tmp_path / "a"), write_run(tmp_path / "b", "grpo")])
    for title in ("exploration", "recovery"):
        assert f">{title}</text>" in signal_curves([fission, grpo])
    assert ">recovery</text>" not in signal_curves([grpo])
    pool = pool_curves([fission, grpo])
    for title in ("size", "mean age", "yield"):
        assert f">{title}</text>" in pool
    assert "GRPO" in pool and ">GRPO</text>" not in pool
    assert pool_curves([grpo]) == ""


def test_logs_of_older_runs_are_drawn_as_far_as_they_go(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    old = {"recovery_rate": 0.2, "recovery_groups": 8.0, "groups_with_signal": 6.0, "pool_size": 9}
    write_lines(run / "metrics.jsonl", ({"step": step, "reward": 1.0} | old for step in range(1, 5)))
    loaded = load_runs([run])
    assert ">recovery</text>" in signal_curves(loaded) and ">exploration</text>" not in signal_curves(loaded)
    assert ">size</text>" in pool_curves(loaded) and ">mean age</text>" not in pool_curves(loaded)


def test_many_runs_are_named_by_their_methods(tmp_path: Path) -> None:
    runs = load_runs([write_run(tmp_path / f"{seed}", "grpo", groups=0, steps=3, seed=seed) for seed in range(9)])
    assert ">GRPO, seed 7</text>" in signal_curves(runs[:8])
    assert ">GRPO</text>" in signal_curves(runs) and "seed" not in signal_curves(runs)
