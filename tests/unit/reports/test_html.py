"""The report: complete, self-contained, and safe to open whatever a policy wrote."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from red_team import attacks
from sample_runs import recovery_group, write_run

from fission_grpo.errors import UserError
from fission_grpo.reports.data import GroupLog, Run, load_runs, read_jsonl
from fission_grpo.reports.html import Curves, Report, example_group, render_report, run_report
from fission_grpo.reports.pages import render_section
from fission_grpo.reports.plots import colours_of
from fission_grpo.reports.texts import said


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_a_report_of_two_runs_holds_everything(tmp_path: Path) -> None:
    page = render_report(run_report(load_runs([write_run(tmp_path / "a", "grpo", groups=0), write_run(tmp_path / "b")])))
    for title in (
        "Before and after",
        "Learning curves",
        "Groups without signal",
        "The pool of failures",
        "Failures by kind",
        "Which kinds remain",
        "and its recoveries",
        "Trajectories",
        "What the numbers mean",
    ):
        assert title in page
    assert "torch 2.13.0" in page
    assert page.count("<svg") == 4
    assert len(re.findall(r'class="sibling', page)) - page.count('class="siblings"') == 8


def test_it_needs_nothing_from_outside(tmp_path: Path) -> None:
    text = render_report(run_report(load_runs([write_run(tmp_path / "a")])))
    page = Tags(text)
    assert not {"link", "iframe", "img", "object"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert [link for link in links if not (link or "").startswith("#")] == []
    policy = next(value or "" for name, value in page.attributes if name == "content" and "default-src" in (value or ""))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(hashes) == 1
    assert f"script-src 'sha256-{hashes[0]}'" in policy
    assert "connect-src" not in policy


HOSTILE = (
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7*7 }}",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_policy_wrote_is_escaped(tmp_path: Path, text: str) -> None:
    run = load_runs([write_run(tmp_path / "a", groups=0)])[0]
    group: dict[str, Any] = recovery_group(text=text)
    group["failure"] |= {"task_id": text, "text": text, "results": [{"content": f"{text} again"}]}
    group["failure"]["messages"][1]["content"] = text
    group["feedback"]["text"] = text
    clean = Tags(render_report(Report("t", [], [_with_group(run, recovery_group())])))
    page = render_report(Report(text, [], [_with_group(run, group)]))
    dirty = Tags(page)
    assert dirty.tags == clean.tags
    assert not any(name.startswith("on") for name, _ in dirty.attributes)
    assert "49" not in "".join(re.findall(r"<pre>(.*?)</pre>", page))


@pytest.mark.parametrize("text", [attack["text"][:500] for attack in attacks("texts")])
def test_no_text_commands_the_page(tmp_path: Path, text: str) -> None:
    """Titles and labels too, which come from names of folders."""
    run = load_runs([write_run(tmp_path / "a", groups=0)])[0]
    group: dict[str, Any] = recovery_group(text=text)
    group["failure"] |= {"task_id": text, "text": text, "results": [{"content": f"{text} again"}]}
    group["feedback"] |= {"text": text, "source": text}
    page = render_report(Report(text, [], [_with_group(replace(run, label=text), group)]))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", page)
    dirty, clean = Tags(page), Tags(render_report(Report("t", [], [_with_group(run, recovery_group())])))
    assert dirty.tags == clean.tags
    assert not any(name.startswith("on") for name, _ in dirty.attributes)


def test_a_run_that_has_only_begun_still_reports(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", groups=0, steps=0)
    for name in ("evaluation.jsonl", "evaluation_start.jsonl", "versions.json"):
        (folder / name).unlink()
    page = render_report(run_report(load_runs([folder])))
    assert "Before and after" not in page
    assert "recipe of Fission-GRPO" in page


def test_the_example_shows_successes_and_failures() -> None:
    groups = [recovery_group(1, 0), recovery_group(2, 4), recovery_group(3, 8), recovery_group(4, 1)]
    chosen = example_group(groups)
    assert chosen is not None and chosen["step"] == 2
    assert example_group([]) is None


def test_runs_of_one_method_are_told_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b"), write_run(tmp_path / "c", "grpo")]
    assert [run.label for run in load_runs(folders)] == ["Fission-GRPO, a", "Fission-GRPO, b", "GRPO"]
    seeds = [write_run(tmp_path / f"seed{seed}", "grpo", seed=seed) for seed in (1, 2)]
    runs = load_runs(seeds)
    assert [run.label for run in runs] == ["GRPO, seed 1", "GRPO, seed 2"]
    assert [run.evaluation and run.evaluation.label for run in runs] == ["GRPO, seed 1", "GRPO, seed 2"]


def test_seeds_of_a_method_share_its_colour() -> None:
    colours = colours_of(["Start", "GRPO, seed 1", "Fission-GRPO", "Another, seed 1", "GRPO, seed 2", "Another, seed 2"])
    assert colours["GRPO, seed 1"] == colours["GRPO, seed 2"]
    assert colours["Another, seed 1"] == colours["Another, seed 2"]
    assert len(set(colours.values())) == 4


def test_sections_of_others_stand_on_top(tmp_path: Path) -> None:
    section = render_section("curves.html", curves=[Curves("Compared", "All <arms>.", Markup("<svg></svg>"), {})])
    page = render_report(run_report(load_runs([write_run(tmp_path / "a")])), [section])
    assert page.index("<h2>Compared") < page.index("<h2>Learning curves")
    assert "Before and after" not in page
    assert "All &lt;arms&gt;." in page


def test_broken_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder"):
        load_runs([tmp_path / "nothing"])
    log = write_run(tmp_path / "a") / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": \n{"step": 3')
    with pytest.raises(UserError, match="line 2"):
        read_jsonl(log)


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes('{"step": 1}\n{"text": "ü'.encode()[:-1])  # within a character
    assert read_jsonl(log) == [{"step": 1}]


def test_calls_are_shown_with_their_arguments() -> None:
    call = {"function": {"name": "cd", "arguments": '{"folder": "docs"}'}}
    assert said({"role": "assistant", "content": "Going.", "tool_calls": [call]}) == 'Going.\ncd {"folder": "docs"}'


def _with_group(run: Run, group: dict[str, Any]) -> Run:
    return replace(run, recoveries=GroupLog([group]), steps=[])
