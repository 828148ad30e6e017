"""Task files: what is written is read back, and a broken line is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Careless, Task, Turn, dump_task, load_tasks, save_tasks
from fission_grpo.types import ToolCall

TASK = Task(
    id="a",
    scenario="s",
    turns=(Turn(({"role": "user", "content": "Hëllo"},), ((ToolCall("ls", {"b": 1, "a": [2]}),),)),),
    config={"GorillaFileSystem": {"z": 1, "a": 2}},
    tags=("x",),
    careless=(Careless(0, 0, ToolCall("ls", {"a": "1"})),),
)


def test_round_trip_keeps_values_and_the_order_of_keys(tmp_path: Path):
    save_tasks([TASK], tmp_path / "sub" / "tasks.jsonl")
    (loaded,) = load_tasks(tmp_path / "sub" / "tasks.jsonl")
    assert loaded == TASK
    assert list(loaded.turns[0].calls[0].arguments) == ["b", "a"]
    assert list(loaded.config["GorillaFileSystem"]) == ["z", "a"]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path):
    task = replace(TASK, turns=(Turn(({"role": "user", "content": "a\u2028b\x85c"},)),))
    save_tasks([task], tmp_path / "tasks.jsonl")
    assert load_tasks(tmp_path / "tasks.jsonl") == [task]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1"),
        ([dump_task(TASK), '{"id": "b", "scenario": "s"}'], "line 2, field turns"),
        ([dump_task(TASK), dump_task(TASK)], "'a' stands on line 1 already"),
        ([dump_task(TASK).replace('"train"', '"dev"')], "line 1, field split"),
        ([""], "no tasks"),
        (['{"id": "b", "scenario": "s", "turns": []}'], "line 1, field turns: none found"),
        ([dump_task(TASK).replace('"user"', '"usr"')], r"field turns\.0\.messages: .*'usr'.*system, developer, user"),
        ([dump_task(TASK).replace('"content"', '"contents"')], r"field turns\.0\.messages: .*'contents'.* `content`"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, lines: list[str], message: str):
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_tasks(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(UserError, match="fission tasks generate --out"):
        load_tasks(tmp_path / "tasks.jsonl")


def test_what_is_no_task_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder; name a file in it"):
        load_tasks(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(UserError, match="not text in UTF-8"):
        load_tasks(tmp_path / "rows.jsonl")
