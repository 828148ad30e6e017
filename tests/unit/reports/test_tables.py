"""The comparison table."""

from rich.console import Console
from sample_runs import evaluation

from fission_grpo.evaluation.metrics import METRICS as MEASURES
from fission_grpo.reports.definitions import METRICS
from fission_grpo.reports.tables import Comparison, markdown_table, rich_table


def test_every_rate_stands_with_its_counts() -> None:
    first = evaluation("GRPO", 0.7, 0.1)
    ratio = first.metrics["solved"]
    text = markdown_table(Comparison([first]))
    assert f"{ratio.numerator / ratio.denominator:.3f} ({ratio.numerator}/{ratio.denominator})" in text
    assert "95%" not in text


def test_the_difference_is_of_the_last_two_and_judged_by_its_direction() -> None:
    rows = {
        row.metric.key: row for row in Comparison([evaluation(*arm) for arm in (("a", 0.5, 0.1), ("b", 0.9, 0.6))]).rows()
    }
    solved, repeats = rows["solved"], rows["repeat_rate"]
    assert solved.difference is not None and repeats.difference is not None
    first, last = (ratio.value or 0.0 for ratio in solved.ratios)
    assert abs(solved.difference.difference - (last - first)) < 1e-9
    assert solved.is_clear and solved.is_better
    assert repeats.difference.difference < 0 and repeats.is_better, "fewer repeats are better"


def test_an_arm_against_itself_is_not_clear() -> None:
    arm = evaluation("a", 0.5, 0.1)
    assert not any(row.is_clear for row in Comparison([arm, arm]).rows())


def test_an_empty_denominator_is_a_dash() -> None:
    none_erred = evaluation("a", 0.5, 0.1, episodes=0)
    text = markdown_table(Comparison([none_erred, none_erred]))
    assert "- (0/0)" in text
    assert "nan" not in text


def test_the_terminal_table_shows_intervals_literally() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rich_table(Comparison([evaluation("a", 0.5, 0.1), evaluation("b", 0.9, 0.6)])))
    assert "[+0." in capture.get()


def test_every_published_metric_is_measured_and_defined() -> None:
    for metric in METRICS:
        assert metric.key in MEASURES
        assert metric.meaning.endswith(".")
