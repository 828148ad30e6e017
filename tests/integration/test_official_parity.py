"""Prompts, decoding, logs and verdicts against what the official package answered (tests/fixtures/official_bfcl)."""

import pytest

from fission_grpo.evaluation.bfcl.checking import judge
from official_bfcl.calls import STYLES, Style
from official_bfcl.parity import compare_prompts, jobs


@pytest.mark.parametrize("style", STYLES)
def test_prompts_results_and_logs_are_the_official_ones_byte_for_byte(style: Style) -> None:
    compared = list(compare_prompts(style))
    assert len(compared) == 800
    assert [comparison for comparison in compared if not comparison.agrees] == []


@pytest.mark.parametrize("style", STYLES)
def test_verdicts_are_the_official_ones(style: Style) -> None:
    judged = differing = valid_references = 0
    for fixture in jobs(style):
        verdict = judge(fixture.job).verdict
        assert verdict is not None
        judged += 1
        differing += (verdict.valid, verdict.error_type.removeprefix("multi_turn:")) != (fixture.valid, fixture.error_type)
        valid_references += fixture.kind == "reference" and verdict.valid
    assert (judged, differing, valid_references) == (4000, 0, 800)
