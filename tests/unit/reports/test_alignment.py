"""Does the error simulator fit? What a report says of a run that measured it."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import measurement, refresh, write_alignment, write_run

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.alignment import alignment_of, wilson
from fission_grpo.reports.alignment_plots import alignment_curve
from fission_grpo.reports.alignment_tables import (
    LEAST_RECOVERIES,
    MOST_PERIODS,
    OTHERS,
    recovery_by_kind,
    sentences,
    source_rows,
    time_note,
)
from fission_grpo.reports.data import load_runs
from fission_grpo.reports.html import render_report, run_report

TITLE = "Does the error simulator fit?"
NOTHING = [0, 0]


def page_of(folder: Path) -> str:
    return render_report(run_report(load_runs([folder])))


def said(lines: list[dict[str, Any]]) -> str:
    return " ".join(sentences(alignment_of(lines)))


def test_only_a_run_that_measured_has_the_section(tmp_path: Path) -> None:
    without = write_run(tmp_path / "a")
    assert TITLE not in page_of(without)
    page = page_of(write_alignment(without, [measurement(10)]))
    assert page.count(TITLE) == 1
    assert page.count("<svg") == 5
    assert "40/160" in page and "Where the feedback came from" in page


def test_of_several_runs_each_has_its_own(tmp_path: Path) -> None:
    runs = [write_alignment(write_run(tmp_path / name), [measurement(10)]) for name in ("a", "b")]
    page = render_report(run_report(load_runs([*runs, write_run(tmp_path / "c", "grpo")])))
    assert page.count(TITLE) == 2
    assert f'{TITLE} <span class="soft">Fission-GRPO, b</span>' in page


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    folder = write_alignment(write_run(tmp_path / "a"), [measurement(10)])
    with (folder / "alignment.jsonl").open("a") as log:
        log.write('{"event": "measurement", "st')
    assert "1 measurement;" in page_of(folder)


def test_a_run_of_which_nothing_could_be_counted_still_reports(tmp_path: Path) -> None:
    shares = dict.fromkeys(("usable", "leak", "agreement", "agreement_all", "sound", "fallback"), NOTHING)
    empty = measurement(10, recovery={"not_found": NOTHING}, sources={}) | shares
    page = page_of(write_alignment(write_run(tmp_path / "a", steps=0), [empty]))
    assert TITLE in page and not re.search(r"\bnan\b", page)
    assert "Recovery after feedback" not in page


@pytest.mark.parametrize("simulator", ["environment", "fixed"])
def test_a_simulator_that_claims_no_kind_gives_no_alarm(tmp_path: Path, simulator: str) -> None:
    line = measurement(10, 0, simulator, agreement=[0, 50])
    page = page_of(write_alignment(write_run(tmp_path / "a"), [line]))
    assert "claims no kind" in page
    assert "below" not in said([line])
    assert "warning level" not in page and "<dt>agreement</dt>" not in page


def test_it_is_said_where_the_level_was_missed() -> None:
    lines = [measurement(10, 60), measurement(20, 51), measurement(30, 40), measurement(40, 52)]
    assert "fell below 0.8 at updates 20 and 30 (2 of 4 measurements); lowest at update 30: 0.625 (40/64)" in said(lines)
    assert "never fell below 0.8 in 2 measurements; lowest at update 40: 0.812 (52/64)" in said([lines[0], lines[3]])


def test_many_updates_are_summed_up() -> None:
    assert re.search(r"10, 20, 30, 40, 50, 60 and 14 more", said([measurement(10 * place, 10) for place in range(1, 21)]))


def test_every_refresh_is_told() -> None:
    few = {"event": "refresh", "step": 30, "examples": {"train": 3}, "used": False, "reason": "fewer than 16 examples"}
    told = said([measurement(10), refresh(20), few, few | {"step": 40}, refresh(50, used=False)])
    assert "Refreshed at update 20: version 2 took over, sound on 0.900 (36/40)" in told
    assert "Refreshes not used, at updates 30 and 40: fewer than 16 examples." in told
    assert "at update 50 (sound on 0.675 (27/40), the version in use on 0.750 (30/40)): it measures worse." in told


def test_the_curve_marks_levels_and_refreshes() -> None:
    lines = [measurement(10, 60), refresh(10), measurement(20, 40), refresh(20, used=False)]
    marks = ("warning level (0.8)", "sound below the level", "refresh, used", "refresh, not used")
    assert all(mark in alignment_curve(alignment_of(lines)) for mark in marks)
    calm = alignment_curve(alignment_of(lines[:1]))
    assert marks[0] in calm and not any(mark in calm for mark in marks[1:])
    assert alignment_curve(alignment_of([])) == ""


def test_frequent_kinds_stand_alone_and_nothing_is_lost() -> None:
    recovery = {f"kind_{place}": [place, 100 * (10 - place)] for place in range(10)}
    table = recovery_by_kind(alignment_of([measurement(10, recovery=recovery)]).measurements)
    assert [kind for kind, _, _ in table.rows] == [*(f"kind_{place}" for place in range(6)), OTHERS]
    whole = sum((ratio for _, _, ratio in table.rows), Ratio())
    assert whole == Ratio(sum(range(10)), sum(100 * (10 - place) for place in range(10)))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_periods_cover_the_run_and_hold_enough(counts: list[int]) -> None:
    lines = [measurement(10 * place, recovery={"not_found": [0, count]}) for place, count in enumerate(counts, start=1)]
    table = recovery_by_kind(alignment_of(lines).measurements)
    assert 1 <= len(table.periods) <= MOST_PERIODS
    assert table.periods[0][0] == 1 and table.periods[-1][1] == 10 * len(counts)
    assert all(last + 1 == first for (_, last), (first, _) in zip(table.periods, table.periods[1:], strict=False))
    for _, ratios, whole in table.rows:
        assert sum(ratios, Ratio()) == whole == Ratio(0, sum(counts))
        if len(ratios) > 1:
            assert sorted(ratio.denominator for ratio in ratios)[len(ratios) // 2] >= LEAST_RECOVERIES


def test_feedback_by_source_adds_up() -> None:
    steps: list[dict[str, Any]] = [
        {"feedback": {"local": 6.0, "rules": 2.0}, "simulator": {"leaked/local": 1.0, "unanswered/local/no_json": 2.0}},
        {"feedback": {"local": 4.0}, "simulator": {"unanswered/local/no_json": 1.0, "unanswered/local/long_context": 3.0}},
        {"feedback": {}, "simulator": {"asked_again/local": 5.0, "failed/endpoint": 7.0, "unanswered/environment": 9.0}},
        {"step": 4},
    ]
    rows = {row.source: row for row in source_rows(steps)}
    assert list(rows) == ["local", "rules", "endpoint", "environment"]
    assert (rows["local"].given, rows["rules"].given) == (Ratio(10, 12), Ratio(2, 12))
    assert (rows["local"].leaked, rows["local"].asked_again, rows["endpoint"].failed) == (1, 5, 7)
    assert rows["local"].unanswered == {"no json": 3, "long context": 3}
    assert rows["environment"].unanswered == {"nothing to say": 9}


def test_the_cost_is_a_share_of_the_updates() -> None:
    steps = [{"seconds": 100.0, "simulator_seconds": 2.0}, {"seconds": 100.0, "simulator_seconds": None}]
    note = time_note(steps, alignment_of([measurement(10), refresh(10)]))
    assert note.startswith("Diagnosing took 2s, 1.0% of the 3m20s of all updates.")
    assert note.endswith("measuring took 2s, refreshes 1m00s.")
    assert "%" not in time_note([], alignment_of([measurement(10)]))


def test_what_a_log_holds_is_escaped(tmp_path: Path) -> None:
    text = '"><script>alert(1)</script>'
    line = measurement(10, simulator=text, recovery={text: [1, 2]})
    page = page_of(write_alignment(write_run(tmp_path / "a"), [line, refresh(10, used=False, reason=text)]))
    assert "<script>alert" not in page
    assert page.count("alert(1)") == 3


@given(st.integers(0, 64), st.integers(1, 64))
def test_the_interval_holds_the_share_and_stays_inside(right: int, count: int) -> None:
    ratio = Ratio(min(right, count), count)
    interval = wilson(ratio)
    assert 0 <= interval.low <= (ratio.value or 0.0) + 1e-9
    assert (ratio.value or 0.0) - 1e-9 <= interval.high <= 1


def test_the_interval_is_wilsons() -> None:
    interval = wilson(Ratio(55, 64))
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.7538, 0.9242)
    assert wilson(Ratio()).low != wilson(Ratio()).low
