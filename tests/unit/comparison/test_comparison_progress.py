"""What is seen of a queue while it works."""

import io

from rich.console import Console

from fission_grpo.reports.comparison_progress import Phase, QueueDisplay, Share, Update

RUNS = {f"{arm}-{seed}": ["train", "test", "probe"] for seed in range(6) for arm in ("grpo", "fission")}


def shown(display: QueueDisplay, console: Console) -> str:
    with console.capture() as capture:
        console.print(display._shown())  # pyright: ignore[reportPrivateUsage]
    return capture.get()


def test_no_more_runs_are_shown_than_fit_the_terminal() -> None:
    for width in (160, 80):
        console = Console(file=io.StringIO(), width=width, height=10, force_terminal=True)
        display = QueueDisplay(RUNS, 1, console)
        for name in RUNS:
            display.started(name)
            display.told(name, Phase("train"))
            display.told(name, Update({"step": 3, "reward": 1.25, "outcome_rate": 0.5}, 0.5))
        text = shown(display, console)
        assert len(text.splitlines()) < 10
        assert "6 under way not shown" in text
        assert "grpo-0" in text and "1.250" in text
        assert "1 of 13 runs done, 0 waiting" in text


def test_the_time_left_is_of_the_whole_queue_at_the_pace_so_far() -> None:
    """Training is 6 of 10 parts of a run: after 30 s half of it is done, so two runs need 30 / 0.3 * 1.7 s more."""
    clock = iter([0.0, 30.0, 30.0])
    display = QueueDisplay(
        {"a": ["train", "test", "probe"], "b": ["train", "test", "probe"]},
        0,
        Console(file=io.StringIO()),
        lambda: next(clock),
    )
    display.started("a")
    display.told("a", Phase("train"))
    assert display.seconds_left() is None
    display.told("a", Update({"step": 1}, 0.5))
    assert display.seconds_left() == 30 * 17 / 3


def test_what_was_done_before_counts_for_no_pace() -> None:
    clock = iter([0.0, 10.0])
    display = QueueDisplay({"a": ["probe"]}, 5, Console(file=io.StringIO()), lambda: next(clock))
    display.started("a")
    display.told("a", Phase("probe"))
    display.told("a", Share(0.5))
    assert display.seconds_left() == 10.0


def test_a_failed_run_is_told_apart() -> None:
    console = Console(file=io.StringIO(), width=100)
    display = QueueDisplay({"a": ["probe"], "b": ["probe"]}, 0, console)
    display.started("a")
    display.ended("a", RuntimeError())
    assert "a: failed (0 of 2 runs)" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 failed, 1 waiting" in shown(display, console)
