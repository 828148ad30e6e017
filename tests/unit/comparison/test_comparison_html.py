"""The report of a comparison."""

from pathlib import Path

import pytest
from sample_comparison import write_comparison_folder
from sample_runs import exploration_group, write_lines

from fission_grpo.errors import UserError
from fission_grpo.reports.comparison_report import comparison_report
from fission_grpo.reports.html import render_report
from fission_grpo.training.run_folder import GROUP_LOGS


def test_its_tables_stand_above_the_runs_and_their_trajectories(tmp_path: Path) -> None:
    out = tmp_path / "compared"
    write_comparison_folder(out, seeds=2)
    write_lines(out / "grpo-1" / GROUP_LOGS["exploration"], [exploration_group(3)])
    report, section = comparison_report(out)
    assert [run.label for run in report.runs] == ["grpo, seed 0", "grpo, seed 1", "fission, seed 0", "fission, seed 1"]
    assert [evaluation.label for evaluation in report.evaluations] == ["Start", "grpo", "fission"]
    assert {evaluation.episodes for evaluation in report.evaluations} == {160}
    page = render_report(report, [section])
    titles = ("Which arm is better", "Learning over compute", "Learning curves", "8 of 8 logged", "Settings and versions")
    places = [page.index(title) for title in titles]
    assert places == sorted(places)
    assert "Before and after" not in page.replace("by kind, before and after", "")


def test_without_a_finished_run_it_says_how_to_go_on(tmp_path: Path) -> None:
    write_comparison_folder(tmp_path, seeds=1)
    for name in ("grpo-0", "fission-0"):
        (tmp_path / name / "evaluation.jsonl").unlink()
    with pytest.raises(UserError, match="no run of it is finished; `fission compare"):
        comparison_report(tmp_path)
