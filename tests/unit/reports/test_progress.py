"""The live display: what a reader sees on a terminal and in a log file."""

import io

from rich.console import Console

from fission_grpo.reports.progress import ProgressDisplay, duration


def show(terminal: bool, width: int = 140) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal)
    with ProgressDisplay({"GRPO": 10, "Fission-GRPO": None}, console) as display:
        display.note("Fission-GRPO", "loading")
        for step in range(1, 4):
            display.sink("GRPO")(
                {"step": step, "reward": float(step), "outcome_rate": None, "pool_size": 12, "seconds": 2.0}
            )
    return file.getvalue()


def test_a_log_file_gets_one_plain_line_an_update() -> None:
    lines = show(terminal=False).splitlines()
    assert lines == [
        "GRPO  step 1/10  reward 1.000  pool 12  left 18s",
        "GRPO  step 2/10  reward 1.500  pool 12  left 16s",
        "GRPO  step 3/10  reward 2.000  pool 12  left 14s",
    ]


def test_a_terminal_gets_a_table_of_all_runs() -> None:
    text = show(terminal=True)
    assert "3/10" in text
    assert "loading" in text
    assert "14s" in text


def test_a_narrow_terminal_gets_lines_that_are_whole() -> None:
    text = show(terminal=True, width=80)
    assert "GRPO  step 3/10  reward 2.000  pool 12  left 14s" in text
    assert "loading" in text


def test_durations_roll_over() -> None:
    assert [duration(value) for value in (59.4, 59.6, 3599, 3600)] == ["59s", "1m00s", "59m59s", "1h00m"]
