"""What a benchmark shows: right figures, honest gaps, and names that cannot break a page, a plot or a terminal."""

import io
import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from rich.console import Console, RenderableType

from fission_grpo.evaluation.bfcl.records import ACCURACY, BY_CLASS, BY_KIND, slice_name
from fission_grpo.evaluation.bfcl.summary import ModelSummary
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.reports.benchmark import by_category, by_class, by_kind, render_benchmark
from fission_grpo.reports.benchmark_tables import SHOWN, fold, notes_of, ranked, recovery_table, score_table

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[red]m[/blue]", "$x^{", "{{ 7*7 }}", "&amp;_a")
LONG = "meta-llama_Llama-4-Maverick-17B-128E-Instruct-FP8"


def record(
    category: str, number: int, valid: bool, *, calls: int = 4, erred: int = 0, recovered: int = 0, repeated: int = 0
) -> EpisodeRecord:
    """An entry whose erred calls are all of the file system and of kind `not_found`, in one turn."""
    turn = (int(recovered > 0), 1) if erred else (0, 0)
    counts: dict[str, tuple[int, int]] = {
        ACCURACY: (int(valid), 1),
        "recovery_rate_turn": turn,
        "recovery_rate_task": (int(valid and erred > 0), int(erred > 0)),
        "recovery_rate_call": (recovered, erred),
        "repeat_rate": (repeated, erred),
        "error_rate": (erred, calls),
        "soft_failure_rate": (0, calls),
    }
    for dimension, value in ((BY_CLASS, "GorillaFileSystem"), (BY_KIND, "not_found")):
        for metric in ("recovery_rate_turn", "recovery_rate_call", "repeat_rate") if erred else ():
            counts[slice_name(metric, dimension, value)] = counts[metric]
    return EpisodeRecord(f"{category}_{number}", f"bfcl_{number}", 0, "completed", counts, tags=(category,))


def summary_of(model: str = "a-model", *, erred: bool = True) -> ModelSummary:
    """Two of four categories: base 1/2 with 3 erred calls of 8, miss func 0/1 with 2 of 4; recovered 2 and 0, repeated 1."""
    return ModelSummary(
        model,
        [
            record("multi_turn_base", 0, True, erred=3 * erred, recovered=2 * erred, repeated=1 * erred),
            record("multi_turn_base", 1, False),
            record("multi_turn_miss_func", 0, False, erred=2 * erred),
        ],
    )


def text_of(renderable: RenderableType, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue()


class Page(HTMLParser):
    """Tags, attributes, and the text of every table row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.rows:
            self.rows[-1] += f" {data.strip()}"


def test_the_terminal_shows_scores_as_the_leaderboard_has_them() -> None:
    text = text_of(score_table([summary_of()], 100), 100)
    assert re.search(r"a-model\s+12\.50\s+50\.00\s+0\.00\s+not\s+not", text)
    assert re.search(r"1/2\s+0/1\s+played\s+played", text)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_rate_stands_with_its_counts_at_every_width(width: int) -> None:
    text = text_of(recovery_table([summary_of(LONG), summary_of()], width), width)
    for counts in ("1/2", "2/5", "1/5", "5/12"):
        assert text.count(f"{counts} ") + text.count(f"{counts}\n") >= 2
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_long_name_is_whole_and_breaks_where_a_reader_would() -> None:
    for width in range(2, 60):
        lines = fold(LONG, width)
        assert "".join(lines) == LONG
        assert max(map(len, lines)) <= width
    assert fold(LONG, 20) == ["meta-llama_Llama-4-", "Maverick-17B-128E-", "Instruct-FP8"]


def test_the_best_score_is_first() -> None:
    worse = ModelSummary("worse", [record("multi_turn_base", 0, False)])
    assert [summary.model for summary in ranked([worse, summary_of()])] == ["a-model", "worse"]


def test_what_is_absent_missing_or_broken_is_said() -> None:
    summary = summary_of()
    notes = notes_of([ModelSummary(summary.model, summary.records, missing=3, context_exceeded=1, faults=2)])
    assert notes[0].startswith("a-model: miss param, long context not played, and counted as 0")
    assert "scenarios played: 2" in notes[1]
    assert [re.findall(r"\d+", note) for note in notes[2:]] == [["3"], ["1", "3"], ["2"]]
    assert all(note in render_benchmark([summary]) for note in notes_of([summary]))


def test_the_page_holds_recovery_by_category_class_and_kind() -> None:
    page = Page(render_benchmark([summary_of(), summary_of("other")]))
    base_and_miss_func = [row.split()[1:] for row in page.rows if row.startswith(" a-model") and "not played" in row]
    assert any(row[:3] == ["1.000", "1/1", "1.000–1.000"] and "0/1" in row for row in base_and_miss_func)
    one = [by_category([summary_of()]), by_class([summary_of()]), by_kind([summary_of()])]
    figures: list[Mapping[str, list[str]]] = [
        {label: [cell.counts for cell in cells if cell] for label, cells in part.grids[0].rows} for part in one
    ]
    assert figures[0] == {
        "base": ["1/1", "2/3", "1/3"],
        "miss func": ["0/1", "0/2", "0/2"],
        "miss param": [],
        "long context": [],
    }
    assert figures[1] == {"Gorilla File System": ["1/2", "2/5", "1/5"]}
    assert figures[2] == {"not found": ["1/2", "2/5", "1/5"]}


def test_bars_are_as_long_as_their_rates() -> None:
    page = Page(render_benchmark([summary_of()]))
    assert ("style", "width: 40.0%") in page.attributes
    assert ("style", "width: 20.0%") in page.attributes


def test_nothing_is_drawn_where_nothing_erred() -> None:
    page = render_benchmark([summary_of(erred=False)])
    assert "<svg" not in page
    assert "No call erred" in page
    assert "By API class" not in page
    assert "nan" not in page
    assert "nan" not in text_of(recovery_table([summary_of(erred=False)], 100), 100)


def test_a_model_without_errors_is_said_beside_others() -> None:
    page = render_benchmark([summary_of(), summary_of("flawless", erred=False)])
    assert page.count("no call erred") == 3


def test_a_run_of_which_nothing_is_there_still_reports() -> None:
    empty = ModelSummary("m", [], missing=4)
    assert "nan" not in render_benchmark([empty])
    assert text_of(score_table([empty], 80), 80).count("played") == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_may_be_called_anything(name: str) -> None:
    clean, dirty = (Page(render_benchmark([summary_of(model)])) for model in ("m", name))
    assert dirty.tags == clean.tags
    assert not any(attribute.startswith("on") for attribute, _ in dirty.attributes)
    assert f" {name}" in [row[: len(name) + 1] for row in dirty.rows]
    assert name in text_of(score_table([summary_of(name)], 160), 160)


def test_every_metric_is_explained() -> None:
    page = " ".join(Page(render_benchmark([summary_of()])).text)
    assert all(metric.meaning in page for metric in SHOWN)


def test_the_page_needs_nothing_from_outside() -> None:
    page = Page(render_benchmark([summary_of(), summary_of("other")]))
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert [link for link in links if not (link or "").startswith("#")] == []
    assert len([tag for tag in page.tags if tag == "html"]) == 1
