"""The trajectory browser in a real browser: what it finds, shows and obeys, and that nothing a model wrote does anything."""

import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium, needs_chromium, open_file
from playwright.sync_api import Browser, Page, expect
from sample_runs import CAT, exploration_group, recovery_group, write_lines, write_run

from fission_grpo.reports.data import load_runs
from fission_grpo.reports.html import run_report, write_report
from fission_grpo.training.run_folder import GROUP_LOGS

pytestmark = needs_chromium
HOSTILE = (
    "<script>globalThis.owned = 1</script>",
    "<img src=x onerror='globalThis.owned = 1'>",
    "</pre></script><script>globalThis.owned = 1</script>",
    "'\"><svg onload=globalThis.owned=1>",
    "\x1b[2J\x1b]0;owned\x07 abc\u202efdp.exe\u2066 \ud800",
    "<!--<script>",
)
ALL = 64
"""Trajectories of the report: 3 exploration groups of each run, and 2 recovery groups."""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GRPO run and a Fission run; the second has a failure, its recoveries, a whole episode, and a line without key."""
    root = tmp_path_factory.mktemp("runs")
    runs = [write_run(root / "a", "grpo", groups=3), write_run(root / "b", groups=0)]
    explorations = [
        exploration_group(11),
        exploration_group(12, 8, task_id="book-flight-000002"),
        exploration_group(13, 6, key="f" * 16, task_id="whole-episode-000003", episode=True),
    ]
    old: dict[str, Any] = recovery_group(20, 8, text="an older line")
    old["recoveries"] = [{name: value for name, value in each.items() if name != "segments"} for each in old["recoveries"]]
    del old["key"]
    write_lines(runs[1] / GROUP_LOGS["exploration"], explorations)
    write_lines(runs[1] / GROUP_LOGS["recovery"], [recovery_group(12), old])
    return made(runs, root / "report.html")


@pytest.fixture
def page(browser: Browser, report: Path) -> Generator[Page]:
    page, complaints = open_file(browser, report)
    expect_found(page, ALL)
    yield page
    page.context.close()
    assert complaints == []


def made(runs: Sequence[Path], path: Path) -> Path:
    write_report(run_report(load_runs(runs)), path)
    return path


def expect_found(page: Page, found: int) -> None:
    expect(page.locator("#browser-count")).to_have_text(f"{found} of {ALL} trajectories")


def selected(page: Page) -> str:
    return page.locator(".row[aria-selected=true]").inner_text()


def current_sibling(page: Page) -> str:
    return page.locator(".sibling[aria-current=true] header button").inner_text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("book-FLIGHT", 8),
        ("older line", 7),
        ("runtime error", 25),
        ("last may GRPO", ALL),
        ("flight older", 0),
        ("  ", ALL),
    ],
)
def test_search_narrows_to_task_kind_run_and_text(page: Page, text: str, found: int) -> None:
    page.fill("#browser [name=q]", text)
    expect_found(page, found)
    assert (page.locator(".row").count() == 0) == (found == 0)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"run": "1"}, 40),
        ({"type": "recovery"}, 16),
        ({"type": "recovery", "outcome": "right"}, 11),
        ({"outcome": "masked"}, 6),
        ({"type": "exploration", "kind": "runtime_error", "run": "1"}, 3),
        ({"error": "not_found"}, 25),
        ({"from": "13"}, 16),
        ({"from": "12", "to": "12"}, 16),
        ({"led": "on"}, 2),
    ],
)
def test_filters_work_alone_and_together(page: Page, values: dict[str, str], found: int) -> None:
    for name, value in values.items():
        field = page.locator(f"#browser [name={name}]")
        if name == "led":
            field.check()
        elif name in ("from", "to"):
            field.fill(value)
        else:
            field.select_option(value)
    expect_found(page, found)
    page.click("#browser [type=reset]")
    expect_found(page, ALL)


def test_the_keyboard_does_everything(page: Page) -> None:
    page.keyboard.press("j")
    first = selected(page)
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    page.keyboard.press("ArrowUp")
    assert selected(page) == first
    assert page.evaluate("document.activeElement.id") == "browser-list"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "browser-detail"
    assert current_sibling(page) == "recovery 1"
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("[")
    assert current_sibling(page) == "recovery 2"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "browser-list"
    page.keyboard.press("/")
    page.keyboard.type("jk?")  # into the field, no commands there
    expect_found(page, 0)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "browser-list"
    page.keyboard.press("?")
    expect(page.locator("#browser-keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#browser-keys")).to_be_hidden()


def test_focus_is_seen_and_named(page: Page) -> None:
    page.keyboard.press("/")
    for _ in range(12):
        look = page.evaluate("(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle; })()")
        assert look != "none"
        page.keyboard.press("Tab")
    nameless = page.locator("#browser").locator("input:not([aria-label]):not([type=checkbox]), select:not([aria-label])")
    assert nameless.count() == 0
    page.keyboard.press("j")
    active = page.locator("#browser-list").get_attribute("aria-activedescendant")
    row = page.locator(f"#{active}")
    assert (row.get_attribute("role"), row.get_attribute("aria-selected")) == ("option", "true")
    assert (row.get_attribute("aria-posinset"), row.get_attribute("aria-setsize")) == ("1", str(ALL))


def test_a_failure_stands_above_its_recoveries_side_by_side(page: Page) -> None:
    page.select_option("#browser [name=type]", "recovery")
    page.fill("#browser [name=from]", "12")
    page.fill("#browser [name=to]", "12")
    expect_found(page, 8)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    detail = page.locator("#browser-detail")
    expect(detail.locator(".message.failed")).to_contain_text('"file_name": "may.txt"')
    expect(detail.locator(".message.feedback .role")).to_have_text("feedback (rules, level 3)")
    expect(detail.locator(".message.feedback")).to_contain_text("look where it is first")
    boxes = [each.bounding_box() for each in detail.locator(".sibling").all()]
    tops = [box["y"] for box in boxes if box]
    assert len(tops) == 8 and tops.count(tops[0]) >= 3
    assert len({box["x"] for box in boxes if box}) == tops.count(tops[0])
    expect(detail.locator(".sibling.right")).to_have_count(3)
    expect(detail.locator(".sibling").nth(7)).to_contain_text("reward 0.750")
    expect(detail.locator(".sibling").nth(7)).to_contain_text("advantage −0.72")


def test_links_lead_from_a_failure_to_its_recoveries_and_back(page: Page) -> None:
    page.check("#browser [name=led]")
    expect_found(page, 2)
    page.locator(".row").first.click()
    page.locator(".sibling[aria-current=true] .link").click()
    expect(page.locator("#browser-detail h4")).to_have_text("recoveries: 3 of 8 right")
    page.locator("#browser-detail .link").first.click()
    expect(page.locator("#browser-detail h4")).to_have_text("rollouts: 5 of 8 right")
    assert current_sibling(page) == "rollout 6"
    expect(page.locator(".sibling[aria-current=true]")).to_contain_text("runtime error (not found)")


def test_trained_tokens_are_marked_by_their_advantage(page: Page) -> None:
    page.fill("#browser [name=q]", "whole-episode")
    expect_found(page, 8)
    page.locator(".row").first.click()
    right, wrong, masked = (page.locator("#browser-detail .sibling").nth(place) for place in (0, 6, 7))
    expect(right.locator("mark.up")).to_have_count(2)
    expect(wrong.locator("mark.down").first).to_have_text(CAT)
    expect(masked.locator("mark.flat")).to_have_count(2)
    expect(right.locator(".untrained")).to_contain_text("./archive/may.txt")
    shares = [each.evaluate("each => each.style.getPropertyValue('--share')") for each in right.locator("mark").all()]
    assert [float(share) for share in shares] == [0.375, 0.075]
    expect(right.locator(".figures")).to_contain_text("advantage +0.75, +0.15")
    expect(masked.locator(".figures")).to_contain_text("masked: the infrastructure failed")


def test_the_address_brings_back_search_filters_and_selection(page: Page, report: Path) -> None:
    page.fill("#browser [name=q]", "may")
    page.select_option("#browser [name=type]", "recovery")
    expect_found(page, 16)
    page.keyboard.press("Escape")
    for _ in range(3):
        page.keyboard.press("j")
    before = selected(page)
    expect(page).to_have_url(re.compile("at="))
    page.reload()
    expect_found(page, 16)
    assert (selected(page), page.input_value("#browser [name=type]")) == (before, "recovery")
    expect(page.locator("#browser-detail .sibling")).to_have_count(8)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_is_inert(browser: Browser, tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / text.replace("/", "").replace("\ud800", "")[:12], groups=0)
    exploration = exploration_group(1, task_id=text)
    exploration["messages"][1]["content"] = exploration["messages"][0]["content"] = text
    for rollout in exploration["rollouts"]:
        rollout["segments"] = [[text, True], [text, False]]
        rollout["failure"] = {"key": "0" * 16, "kind": text, "error_kind": text, "turn": 0}
    recovery = recovery_group(2, text=text)
    recovery["failure"] |= {"task_id": text, "text": text, "kind": text, "results": [{"content": f"{text} again"}]}
    recovery["feedback"] |= {"text": text, "source": text, "replaced": text}
    write_lines(run / GROUP_LOGS["exploration"], [exploration])
    write_lines(run / GROUP_LOGS["recovery"], [recovery])
    page, complaints = open_file(browser, made([run], tmp_path / "report.html"))
    elements = page.evaluate("[...document.body.querySelectorAll('script, img, iframe')].length")
    for _ in range(16):
        page.keyboard.press("j")
        assert page.evaluate("globalThis.owned") is None
    assert elements == 2  # the data and the browser's own
    assert page.evaluate("[...document.body.querySelectorAll('script, img, iframe')].length") == elements
    assert complaints == []
    shown = page.locator("#browser-detail").inner_text()
    assert not set(shown) & set("\x1b\x07\u202e\u2066\ud800")
    assert ("⟨U+202E⟩" in shown and "␛[2J" in shown) or text in shown
    page.context.close()


CONTRASTS = Path(__file__).with_name("contrasts.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(browser: Browser, report: Path, dark: bool) -> None:
    page, complaints = open_file(browser, report, dark=dark)
    expect_found(page, ALL)
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    for query in ("older", "whole-episode", "hazard", "runtime"):
        page.fill("#browser [name=q]", query)
        page.wait_for_timeout(150)
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        found = page.evaluate(CONTRASTS)
        assert found["checked"] > 100
        assert "\n".join(found["faint"]) == ""
    assert complaints == []
    page.context.close()


def test_it_fits_a_telephone(browser: Browser, report: Path) -> None:
    page, complaints = open_file(browser, report, width=420)
    expect_found(page, ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.keyboard.press("j")
    expect(page.locator("#browser-detail")).to_be_hidden()
    page.locator(".row").nth(1).click()
    expect(page.locator("#browser-list")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.click("#browser-back")
    expect(page.locator("#browser-list")).to_be_visible()
    assert complaints == []
    page.context.close()
