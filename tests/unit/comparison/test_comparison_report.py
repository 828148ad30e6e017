"""The table, the curves and the page of a comparison."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sample_comparison import drop_run, write_comparison_folder

from fission_grpo.evaluation.significance import holm
from fission_grpo.reports.comparison_folder import SeedRun, load_comparison
from fission_grpo.reports.comparison_plots import arm_colours, band_of
from fission_grpo.reports.comparison_report import write_comparison
from fission_grpo.reports.comparison_tables import PRIMARY, comparison_table, notes_of
from fission_grpo.reports.comparison_text import markdown


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_comparison_folder(tmp_path)
    return tmp_path


def test_differences_are_taken_from_the_baseline_and_only_primary_metrics_tested(out: Path) -> None:
    table = comparison_table(load_comparison(out))
    assert [row.arm.name for row in table.rows] == ["start", "grpo", "fission"]
    assert {(row.arm, row.baseline) for row in table.differences} == {("fission", "grpo")}
    tested = [row for row in table.differences if row.p is not None]
    assert {row.metric.key for row in tested} == set(PRIMARY)
    assert table.tests == 3
    assert [row.corrected for row in tested] == holm([row.p for row in tested])
    solved = table.differences_of("solved")[0]
    assert solved.difference.difference == pytest.approx(0.3, abs=0.1)
    assert solved.is_clear and solved.is_better and solved.p is not None and solved.p < 0.01
    assert solved.sign_flip is not None and solved.sign_flip.smallest == 0.25


def test_what_the_runs_spent_is_shown_by_kind(out: Path) -> None:
    fission = comparison_table(load_comparison(out)).rows[2]
    assert fission.tokens == {"prefill": 36_000, "sampled": 9_600, "trained": 14_400, "simulator": 0}
    assert (fission.updates, fission.seconds) == (12, 18)
    assert fission.differs == {"method": "fission"}


def test_tokens_of_exploration_and_recovery_count_as_what_they_are() -> None:
    tokens = {
        "exploration_prefill": 1.0,
        "recovery_prefill": 2.0,
        "recovery_sampled": 4.0,
        "trained": 8.0,
        "simulator": 16.0,
    }
    run = SeedRun(Path(), 0, [{"tokens": tokens}, {"tokens": tokens}], [], [])
    assert run.tokens == {"prefill": 6, "sampled": 8, "trained": 16, "simulator": 32}


def test_an_unfinished_comparison_is_shown_as_far_as_it_is_paired(out: Path) -> None:
    drop_run(out / "fission-1")
    table = comparison_table(load_comparison(out))
    assert table.differences_of("solved")[0].seeds == (0, 2)
    assert table.rows[1].cells["solved"].ratio.denominator == 3 * 80
    assert "Not finished: `fission` has 2 of 3 seeds." in notes_of(table)


def test_nothing_finished_is_no_table(out: Path) -> None:
    for run in out.glob("*-*"):
        drop_run(run)
    assert write_comparison(out) is None


def test_markdown_json_and_page_say_the_same(out: Path) -> None:
    table = write_comparison(out)
    assert table is not None
    text, page = ((out / name).read_text(encoding="utf-8") for name in ("comparison.md", "report.html"))
    content = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert text == markdown(table)
    solved = next(row for row in content["differences"] if row["metric"] == "solved")
    assert f"{solved['difference']:+.3f}" in text and f"{solved['difference']:+.3f}" in page
    assert content["command"] in text and content["command"] in page
    assert {run["seed"] for arm in content["arms"] for run in arm["runs"]} == {0, 1, 2}
    assert content["arms"][0]["metrics"]["hidden_hazards_solved"]["value"] is None, "0/0 is not known, and no NaN"
    assert page.count("<svg") == 3, "differences, learning over compute, and over updates"
    assert not re.search(r"(src|href)=\"http", page), "the page needs nothing else"


def test_curves_end_at_the_budget_and_at_the_shortest_seed(out: Path) -> None:
    compared = load_comparison(out)
    fission = compared.arms[1]
    band = band_of(fission, "reward", compared.budget)
    assert band is not None
    assert band.millions[0] == pytest.approx(0.005) and band.millions[-1] == pytest.approx(0.025), "60,000 were spent"
    assert np.all(band.low <= band.mean) and np.all(band.mean <= band.high)
    late = band_of(fission, "recovery_rate", compared.budget)
    assert late is not None and late.millions[0] == pytest.approx(0.01), "none before the second update"
    assert band_of(compared.arms[0], "recovery_rate", compared.budget) is None
    assert band_of(compared.start, "reward", compared.budget) is None


def test_a_method_keeps_its_colour_and_variants_of_it_get_others(out: Path) -> None:
    grpo, fission = load_comparison(out).arms
    colours = arm_colours([grpo, fission])
    assert list(arm_colours([fission]).values()) == [colours["fission"]]
    assert len(set(arm_colours([grpo, fission]).values())) == 2


def test_other_benchmarks_have_a_table_with_what_doing_nothing_has(tmp_path: Path) -> None:
    write_comparison_folder(tmp_path, others=("retail", "tickets"))
    table = write_comparison(tmp_path)
    assert table is not None
    retail, tickets = table.others
    assert str(retail.doing_nothing) == "0.100 (2/20)" and tickets.doing_nothing is None
    assert list(retail.cells) == ["start", "grpo", "fission"]
    assert retail.cells["grpo"]["solved"].ratio.denominator == 3 * 20
    assert {(row.arm, row.metric.key, row.p) for row in retail.differences} == {
        ("fission", key, None) for key in ("solved", "recovery_rate_task", "repeat_rate")
    }
    assert table.tests == 3, "what is tested, and corrected together, stays the same"
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in content["elsewhere"]] == ["retail", "tickets"]
    text, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("comparison.md", "report.html"))
    assert "## Elsewhere: retail" in text and "| (doing nothing) | 0.100 (2/20) |" in text
    assert "Does it carry over" in page and "(doing nothing)" in page


def test_a_run_is_finished_once_it_has_played_all_benchmarks(tmp_path: Path) -> None:
    write_comparison_folder(tmp_path, others=("retail",))
    (tmp_path / "fission-1" / "also-retail.jsonl").unlink()
    assert list(load_comparison(tmp_path).arms[1].runs) == [0, 2]
