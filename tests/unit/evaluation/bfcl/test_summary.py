"""From counts to what is published, by hand-computed cases."""

import json
import math

import pytest

from fission_grpo.environments.bfcl import CATEGORIES
from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.statistics import mean_of_groups
from fission_grpo.reports.benchmark import render_benchmark
from fission_grpo.reports.benchmark_tables import notes_of
from fission_grpo.types import StopReason


def record(category: str, number: int, right: int) -> EpisodeRecord:
    return EpisodeRecord(
        task_id=f"{category}_{number}",
        scenario=f"bfcl-{number}",
        sample=0,
        stop_reason=StopReason.COMPLETED.value,
        counts={"accuracy": (right, 1)},
        tags=(category,),
        steps=1,
    )


BASE, FUNC = CATEGORIES[0], CATEGORIES[1]
RECORDS = [record(BASE, number, int(number < 3)) for number in range(4)] + [record(FUNC, 0, 1), record(FUNC, 1, 0)]


def test_the_score_is_the_unweighted_mean_and_an_absent_category_counts_nothing() -> None:
    summary = ModelSummary("m", RECORDS)
    assert summary.overall[0] == pytest.approx((3 / 4 + 1 / 2 + 0 + 0) / 4)
    assert summary.absent_categories == list(CATEGORIES[2:])
    assert "counted as 0" in notes_of([summary])[0]
    scores = summary.as_json()
    assert isinstance(scores["categories"], dict)
    assert list(scores["categories"]) == [BASE, FUNC]


def test_the_interval_holds_the_mean() -> None:
    mean, interval = mean_of_groups([RECORDS[:4], RECORDS[4:]], "accuracy")
    assert mean == pytest.approx(5 / 8)
    assert 0 <= interval.low <= mean <= interval.high <= 1


def test_groups_that_are_all_right_have_no_width() -> None:
    right = [[record(category, number, 1) for number in range(3)] for category in CATEGORIES]
    mean, interval = mean_of_groups(right, "accuracy")
    assert (mean, interval.low, interval.high) == (1.0, 1.0, 1.0)
    mean, interval = mean_of_groups([*right[:2], [], []], "accuracy")
    assert (mean, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_nothing_played() -> None:
    summary = ModelSummary("m", [], missing=4)
    mean, interval = summary.overall
    assert mean == 0.0
    assert math.isnan(interval.low)
    assert any("missing after infrastructure errors: 4" in note for note in notes_of([summary]))
    assert "<!doctype html>" in render_benchmark([summary])


@pytest.mark.parametrize("records", [[], RECORDS])
def test_scores_are_json_that_any_reader_takes(records: list[EpisodeRecord]) -> None:
    text = json.dumps(ModelSummary("m", records).as_json())
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_is_not_counted_is_said() -> None:
    notes = " ".join(notes_of([ModelSummary("m", RECORDS, missing=2, context_exceeded=3, faults=1)]))
    assert "missing after infrastructure errors: 2" in notes
    assert "3 of 6 entries outgrew the context of the model" in notes
    assert "could not be judged: 1" in notes
