"""The report of a simulator evaluation: right figures three ways, honest gaps, and names that cannot break anything."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.reports.alignment import wilson
from fission_grpo.reports.definitions import DOES, SAYS
from fission_grpo.reports.simulator import WIDTH, markdown, render_simulator_report, rich_tables, write_simulator_report
from fission_grpo.reports.simulator_tables import confusions, verdict
from fission_grpo.training.simulator.evaluate import BASELINES, Change, Estimate, Evaluation, SimulatorResult
from fission_grpo.training.simulator.measures import MEASURES, NO_KIND, UNUSABLE

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[red]m[/blue]", "$x^{", "{{ 7*7 }}", "a|b`c`")
FAILURES = 300
NOT_COUNTED = Estimate(0, 0, nan, nan)
UNKNOWN = Change(nan, nan, nan)
CONFUSION: Mapping[str, Mapping[str, int]] = {
    "runtime_error": {"runtime_error": 140, "schema_violation": 7, UNUSABLE: 3},
    "malformed_call": {"malformed_call": 60},
    "wrong_arguments": {"wrong_arguments": 70, "missing_call": 20},
}


def share(numerator: int, denominator: int = FAILURES) -> Estimate:
    interval = wilson(Ratio(numerator, denominator))
    return Estimate(numerator, denominator, interval.low, interval.high)


def result(name: str = "simulators/bundled/model", **changes: Any) -> SimulatorResult:
    """A simulator that is sound on 265 of 300 failures, leaks in 2 of 297, and helps."""
    found = {
        "usable": share(297),
        "leak_exact": share(0, 297),
        "leak_normalised": share(1, 297),
        "leak": share(2, 297),
        "agreement": share(200, 210),
        "agreement_all": share(270),
        "specificity": share(81, 99),
        "sound": share(265),
    }
    made = SimulatorResult(
        name=name,
        measures=found,
        labels=None,
        confusion=CONFUSION,
        words=17.25,
        utility=share(480, 1200),
        over_fixed=Change(0.15, 0.11, 0.19),
        blind=share(60, 1200),
        gain=Change(0.01, -0.004, 0.024),
        blind_secret=share(8, 640),
        secret_gain=Change(0.0125, 0.003, 0.022),
        counts={"answered/local": 290, "answered/rules": 10, "leaked/local": 3, "unanswered/local/no_json": 11},
    )
    return replace(made, **changes)


def baseline(name: str) -> SimulatorResult:
    """A baseline; all but the rules claim no kind."""
    if name == "rules":
        return result(name, over_fixed=Change(0.13, 0.09, 0.17), counts={"answered/rules": FAILURES})
    silent = {kind: {NO_KIND: sum(inner.values())} for kind, inner in CONFUSION.items()}
    none = {"usable": share(300), "agreement": share(0, 210), "agreement_all": share(0), "sound": share(0)}
    measures = {key: share(0) for key in MEASURES} | none
    zero = Change(0.0, 0.0, 0.0)
    return result(
        name, confusion=silent, measures=measures, utility=share(300, 1200), over_fixed=zero, gain=zero, secret_gain=zero
    )


def evaluation(*simulators: SimulatorResult) -> Evaluation:
    settings = {"policy": "bundled", "reader": "bundled", "failures": FAILURES, "samples": 4, "seed": 0}
    return Evaluation(settings, Ratio(120, 210), share(1100, 1200), [*map(baseline, BASELINES), *simulators])


def shown(content: Evaluation, width: int = WIDTH) -> list[str]:
    """The lines of the tables for a terminal."""
    file = io.StringIO()
    console = Console(file=file, width=width)
    for table in rich_tables(content, width):
        console.print(table)
    return file.getvalue().splitlines()


class Page(HTMLParser):
    """Tags, attributes and table rows of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self._in_row = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
            self._in_row = True

    def handle_endtag(self, tag: str) -> None:
        self._in_row = self._in_row and tag != "tr"

    def handle_data(self, data: str) -> None:
        if self._in_row and data.strip():
            self.rows[-1].append(data.strip())

    def row(self, label: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == label)


def test_every_share_stands_with_its_counts_and_interval_everywhere() -> None:
    content = evaluation(result())
    texts = ("\n".join(shown(content)), markdown(content), render_simulator_report(content))
    ours = content.results[-1]
    for estimate in (*ours.measures.values(), ours.utility, ours.blind, ours.blind_secret):
        figures = (
            f"{estimate.numerator / estimate.denominator:.3f}",
            f"{estimate.numerator}/{estimate.denominator}",
            f"[{estimate.low:.3f}, {estimate.high:.3f}]",
        )
        assert all(figure in text for figure in figures for text in texts)
    for text in texts:
        assert "+0.150" in text and "[+0.110, +0.190]" in text
        assert "17.2" in text or "17.3" in text


def test_the_figures_stand_under_their_simulator() -> None:
    other = result("other", utility=share(7, 70), words=3.0)
    page = Page(render_simulator_report(evaluation(result(), other)))
    assert page.row("utility ↑")[-3:] == ["0.100", "7/70", f"[{other.utility.low:.3f}, {other.utility.high:.3f}]"]
    assert page.row("words")[1:] == ["17.2", "17.2", "17.2", "17.2", "3.0"]
    lines = markdown(evaluation(result(), other)).splitlines()
    assert next(line for line in lines if line.startswith("| utility ↑")).split(" | ")[-1].startswith("0.100 (7/70)")


def test_only_a_clear_difference_is_marked_and_a_gain_is_a_bad_thing() -> None:
    utility, gain = (next(each for each in DOES if each.key == key) for key in ("over_fixed", "gain"))
    up, down, unclear = Change(0.1, 0.01, 0.2), Change(-0.1, -0.2, -0.01), Change(0.1, -0.01, 0.2)
    assert [verdict(each, utility) for each in (up, down, unclear, UNKNOWN)] == ["better", "worse", "", ""]
    assert [verdict(each, gain) for each in (up, down, unclear, UNKNOWN)] == ["worse", "better", "", ""]
    page = render_simulator_report(evaluation(result()))
    assert page.count('class="rate better"') == 2, "the utility of the rules and of the simulator"
    assert '<span class="rate worse">+0.013</span>' in page or '<span class="rate worse">+0.012</span>' in page
    text = markdown(evaluation(result()))
    assert "**+0.150 [+0.110, +0.190]**" in text
    assert "| +0.010 [-0.004, +0.024] |" in text


def test_a_terminal_colours_only_what_is_clear() -> None:
    for change, colour in ((Change(0.15, 0.11, 0.19), "32"), (Change(-0.15, -0.19, -0.11), "31")):
        file = io.StringIO()
        console = Console(file=file, width=WIDTH, force_terminal=True, color_system="standard")
        for table in rich_tables(replace(evaluation(), results=[result(over_fixed=change, secret_gain=UNKNOWN)])):
            console.print(table)
        assert re.findall(r"\x1b\[1;(3[12])m", file.getvalue()) == [colour]


@pytest.mark.parametrize("width", [60, 80, WIDTH, 200])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_tables_fit_however_many_simulators_there_are(count: int, width: int) -> None:
    names = [f"runs/with/a/long/path/simulator-{place}/model" for place in range(count)]
    lines = shown(evaluation(*map(result, names)), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    text = "\n".join(lines)
    assert text.count("480/1200") == 1 + count
    assert all(text.count(f"simulator-{place}/") == 2 for place in range(count))


def test_a_simulator_that_claims_no_kind_is_not_blamed_for_it() -> None:
    page = Page(render_simulator_report(evaluation(result())))
    row = page.row("agreement ↑")
    assert row[1:7] == ["–", "0/210", "claims no kind"] * 2
    assert row[7] == "0.952"


def test_an_empty_denominator_is_a_dash() -> None:
    empty = result(
        measures=dict.fromkeys(MEASURES, NOT_COUNTED),
        confusion={},
        words=0.0,
        **dict.fromkeys(("utility", "blind", "blind_secret"), NOT_COUNTED),
        **dict.fromkeys(("over_fixed", "gain", "secret_gain"), UNKNOWN),
        counts={},
    )
    content = Evaluation({}, Ratio(), NOT_COUNTED, [empty])
    for text in ("\n".join(shown(content)), markdown(content), render_simulator_report(content)):
        assert not re.search(r"\bnan\b", text)
        assert "–" in text


def test_labels_have_a_row_where_there_are_any() -> None:
    assert "labels" not in markdown(evaluation(result()))
    text = markdown(evaluation(result(labels=share(84, 100))))
    assert "0.840 (84/100)" in text
    assert "labelled by hand" in text


def test_confusion_counts_every_failure_once() -> None:
    (matrix,) = confusions(evaluation(result()))
    told = ["malformed call", "schema violation", "runtime error", "wrong arguments", "missing call", UNUSABLE]
    assert list(matrix.said) == told
    assert [kind for kind, _ in matrix.rows] == ["malformed call", "runtime error", "wrong arguments"]
    assert sum(sum(counts) for _, counts in matrix.rows) == FAILURES
    page = Page(render_simulator_report(evaluation(result())))
    assert page.row("runtime error") == ["runtime error", "–", "7", "5%", "140", "93%", "–", "–", "3", "2%", "150"]
    assert ("style", "--share: 0.933") in page.attributes
    assert "| runtime error | 0 | 7 | 140 | 0 | 0 | 3 |" in markdown(evaluation(result()))


def test_baselines_have_no_confusion_matrix() -> None:
    assert confusions(evaluation()) == []
    assert "took for which" not in markdown(evaluation()) + render_simulator_report(evaluation())


def test_what_the_chain_did_is_counted() -> None:
    page = Page(render_simulator_report(evaluation(result())))
    assert page.row("unanswered: local, no json")[-1] == "11"
    assert page.row("answered: rules")[-2:] == ["300", "10"]


def test_the_limits_of_the_measurement_are_said() -> None:
    for text in (markdown(evaluation(result())), render_simulator_report(evaluation(result()))):
        assert "0.571 (120/210)" in text
        assert "0.917 (1100/1200)" in text


def test_every_measure_is_shown_and_explained() -> None:
    assert {measure.key for measure in SAYS} == set(MEASURES)
    text = markdown(evaluation(result()))
    page = render_simulator_report(evaluation(result()))
    assert all(measure.meaning in text and measure.head in page for measure in (*SAYS, *DOES))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_simulator_may_be_called_anything(name: str) -> None:
    clean, dirty = (Page(render_simulator_report(evaluation(result(each)))) for each in ("m", name))
    assert dirty.tags == clean.tags
    assert not any(attribute.startswith("on") for attribute, _ in dirty.attributes)
    assert dirty.rows[0][-1].replace("\n", "") == name
    assert _cells(markdown(evaluation(result(name)))) == _cells(markdown(evaluation(result("m"))))
    assert "<script" not in markdown(evaluation(result(name)))
    assert max(map(len, shown(evaluation(result(name))))) <= WIDTH


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    write_simulator_report(evaluation(result()), tmp_path / "new" / "report.html")
    page = Page((tmp_path / "new" / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert [link for link in links if not (link or "").startswith("#")] == []


def _cells(text: str) -> Sequence[int]:
    """Cells in each line of each table."""
    return [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
