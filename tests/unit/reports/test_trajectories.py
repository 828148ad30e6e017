"""What of the runs' trajectories enters a page, and how."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_runs import exploration_group, recovery_group, write_lines, write_run

from fission_grpo.errors import UserError
from fission_grpo.reports.data import load_runs, read_groups
from fission_grpo.reports.texts import visible
from fission_grpo.reports.trajectories import Trajectories, pack_trajectories
from fission_grpo.training.run_folder import GROUP_LOGS


def unpacked(trajectories: Trajectories) -> dict[str, Any]:
    return json.loads(gzip.decompress(base64.b64decode(trajectories.data)))


def test_the_newest_of_each_run_are_kept_evenly(tmp_path: Path) -> None:
    sizes = (3, 40, 20)
    runs = load_runs([write_run(tmp_path / f"{place}", "grpo", groups=size) for place, size in enumerate(sizes)])
    packed = pack_trajectories(runs, most=8 * 23)
    assert (packed.shown, packed.total) == (8 * 23, 8 * sum(sizes))
    groups = unpacked(packed)["groups"]
    steps = {place: [group["step"] for group in groups if group["run"] == place] for place in range(3)}
    assert steps == {0: [3, 2, 1], 1: list(range(40, 30, -1)), 2: list(range(20, 10, -1))}


def test_a_whole_group_or_none_of_it(tmp_path: Path) -> None:
    runs = load_runs([write_run(tmp_path / "a", "grpo", groups=4)])
    assert pack_trajectories(runs, most=20).shown == 16


def test_a_text_stands_once_and_old_lines_are_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", groups=0)
    old = recovery_group(3, text="again")
    old["recoveries"] = [{name: value for name, value in each.items() if name != "segments"} for each in old["recoveries"]]
    write_lines(run / GROUP_LOGS["recovery"], [old])
    write_lines(run / GROUP_LOGS["exploration"], [exploration_group(2)])
    content = unpacked(pack_trajectories(load_runs([run])))
    texts = content["texts"]
    assert len(texts) == len(set(texts))
    recovery, exploration = content["groups"]
    assert [texts[each["segments"][0][0]] for each in recovery["rollouts"]][1:] == ["again"] * 7
    assert recovery["failed"]["text"] == exploration["rollouts"][5]["segments"][0][0]
    assert exploration["rollouts"][5]["failure"]["key"] == recovery["key"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_none(tmp_path: Path, value: float | None) -> None:
    group = exploration_group(1)
    group["rollouts"][0] |= {"reward": value, "advantage": [0.123456, value]}
    run = write_run(tmp_path / "a", groups=0)
    write_lines(run / GROUP_LOGS["exploration"], [group])
    rollout = unpacked(pack_trajectories(load_runs([run])))["groups"][0]["rollouts"][0]
    assert (rollout["reward"], rollout["advantage"]) == (None, [0.1235, None])


def test_a_long_log_is_read_without_being_kept(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", (exploration_group(step) for step in range(30)))
    read = read_groups(log, "rollouts", most=50)
    assert (read.trajectories, read.first, [group["step"] for group in read.groups]) == (240, 24, [24, 25, 26, 27, 28, 29])
    with pytest.raises(UserError, match="line 1: no group, it has no list `recoveries`"):
        read_groups(log, "recoveries")


@given(st.text(st.characters(codec=None)))
def test_visible_text_commands_nothing_and_can_be_written(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any((ord(each) < 32 and each not in "\t\n") or 0x7F <= ord(each) < 0xA0 for each in shown)
    assert not set(shown) & {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    assert visible(shown) == shown


def test_ordinary_text_of_any_script_stays() -> None:
    for text in ("a\tb\nc", "Grüße, 世界, שלום, سلام, 👩‍🚀", '<tool_call>{"a": 1}</tool_call>'):
        assert visible(text) == text
