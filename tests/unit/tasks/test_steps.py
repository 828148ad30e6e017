"""Rows of steps survive every layout, and a broken file is told with its place."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.errors import UserError
from fission_grpo.tasks.layouts import LayoutName
from fission_grpo.tasks.step_files import open_steps, write_steps
from fission_grpo.tasks.steps import StepRow
from fission_grpo.types import Message, ToolCall

FILES: list[tuple[LayoutName, str]] = [
    ("steps", "a.jsonl"),
    ("trl", "b.parquet"),
    ("verl", "c.parquet"),
    ("trl", "d.jsonl"),
    ("verl", "e.parquet"),
    ("steps", "f.jsonl"),
]
"""Every layout in every form, and every way from one to another."""

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
calls = st.builds(ToolCall, text, st.dictionaries(text, json_values, max_size=3))


def tool(name: str, default: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "default": default}, "b": {"enum": [None, 1]}}}
    return {"type": "function", "function": {"name": name, "description": "Does.", "parameters": parameters}}


tools = st.lists(st.sampled_from("abc"), unique=True).flatmap(
    lambda names: st.tuples(*(st.builds(tool, st.just(name), st.none() | text) for name in names))
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    role = draw(st.sampled_from(["system", "user", "assistant", "tool"]))
    message: Message = {"role": role, "content": draw(text)}
    if role == "tool":
        message = {"role": role, "name": draw(text), "tool_call_id": draw(text), "content": draw(text)}
    if role == "assistant" and (made := draw(st.lists(calls, max_size=2))):
        message["tool_calls"] = [{"type": "function", "function": asdict(each)} for each in made]
        if draw(st.booleans()):  # an id of one call must not become a null of its sibling's
            message["tool_calls"][0] = {"id": draw(text), **message["tool_calls"][0]}
    return message


rows = st.builds(
    StepRow,
    id=text,
    messages=st.lists(messages(), min_size=1, max_size=5).map(tuple),
    tools=tools,
    reference=st.lists(calls, max_size=3).map(tuple),
    scenario=text,
    source=text,
    split=st.sampled_from(["train", "validation", "test"]),
    task=text,
    turn=st.integers(0, 99),
    step=st.integers(0, 99),
    tags=st.lists(text, max_size=3).map(tuple),
)


@settings(max_examples=25)
@given(st.lists(rows, min_size=1, max_size=4, unique_by=lambda row: row.id))
def test_rows_come_back_from_every_layout_as_they_were(tmp_path_factory: pytest.TempPathFactory, written: list[StepRow]):
    folder = tmp_path_factory.mktemp("round")
    current = list(written)
    for layout, name in FILES:
        write_steps(current, folder / name, layout)
        file = open_steps(folder / name)
        assert (file.layout.name, file.count, file.ignored) == (layout, len(written), [])
        current = list(file.rows())
        # As text: key order counts (templates print objects as they come), and so does 1 against 1.0 and True.
        assert json.dumps([asdict(row) for row in current]) == json.dumps([asdict(row) for row in written])
    assert (folder / "a.jsonl").read_bytes() == (folder / "f.jsonl").read_bytes()


ROW = StepRow(
    id="t/0.0",
    messages=({"role": "user", "content": "Show a."},),
    tools=(tool("cat", "x"),),
    reference=(ToolCall("cat", {"a": "b"}),),
    scenario="s",
    source="bfcl",
    split="train",
    task="t",
)


def test_files_of_one_layout_have_one_schema(tmp_path: Path):
    """A file without a single call, and one with calls, can be concatenated."""
    called: Message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": asdict(ROW.reference[0])}],
    }
    for layout in ("trl", "verl"):
        write_steps([ROW], tmp_path / "plain.parquet", layout)
        write_steps([replace(ROW, messages=(*ROW.messages, called))], tmp_path / "calls.parquet", layout)
        assert pq.read_schema(tmp_path / "plain.parquet") == pq.read_schema(tmp_path / "calls.parquet")


def test_the_verl_layout_is_the_one_verl_reads(tmp_path: Path):
    write_steps([ROW], tmp_path / "x.parquet", "verl")
    (record,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert list(record) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert record["data_source"] == "bfcl"
    assert (record["prompt"][0]["role"], record["prompt"][0]["content"]) == ("user", "Show a.")
    assert record["reward_model"]["style"] == "rule"
    assert json.loads(record["reward_model"]["ground_truth"]) == [{"name": "cat", "arguments": {"a": "b"}}]
    assert (record["extra_info"]["split"], record["extra_info"]["index"]) == ("train", 0)


def test_a_foreign_verl_file_with_less_and_with_more(tmp_path: Path):
    """As verl's own scripts write it: no scenario, no tools, and a column that only its author knows."""
    records = [
        {
            "data_source": "mine/tools",
            "prompt": [{"role": "user", "content": "hi"}],
            "ability": "tool",
            "reward_model": {"style": "rule", "ground_truth": '[{"name": "cat", "arguments": "{\\"a\\": 1}"}]'},
            "extra_info": {"split": "test", "index": 7},
            "difficulty": 3,
        }
    ]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "foreign.parquet")
    file = open_steps(tmp_path / "foreign.parquet")
    (row,) = file.rows()
    assert file.ignored == ["difficulty"]
    assert (row.id, row.scenario, row.source, row.split, row.tools) == ("row-000000", "row-000000", "mine/tools", "test", ())
    assert row.reference == (ToolCall("cat", {"a": 1}),)


def test_a_foreign_trl_file_whose_tools_went_through_arrow(tmp_path: Path):
    """A list of tools in a column: Arrow gives every schema the keys of all."""
    schemas = [{"type": "object", "properties": {name: {"type": "string"}}} for name in "ab"]
    offered = [{"type": "function", "function": {"name": f"use_{n}", "parameters": each}} for n, each in enumerate(schemas)]
    record = {"prompt": [{"role": "user", "content": "hi"}], "tools": offered, "reference": "[]"}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "foreign.parquet")
    (row,) = open_steps(tmp_path / "foreign.parquet").rows()
    assert list(row.tools) == offered


GOOD = {"prompt": [{"role": "user", "content": "hi"}], "tools": "[]", "reference": "[]"}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "cat", "arguments": "{"}}]}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"prompt": "hi"}, r"line 2, column prompt: found a string, expected a list of chat messages"),
        ({"prompt": []}, r"line 2, column prompt: .*at least 1"),
        ({"prompt": [{"role": "bot"}]}, r"column prompt: message 0, role: found 'bot', expected one of system"),
        ({"prompt": [{"role": "user", "content": [1]}]}, r"message 0, content: found an array, expected text"),
        ({"prompt": [{"role": "user", "content": "a\0"}]}, r"message 0, content: found a NUL"),
        ({"prompt": [{"role": "user", "weight": 1}]}, r"message 0: found the key 'weight', expected role"),
        ({"prompt": [CALL]}, r"column prompt: not readable as JSON"),
        ({"tools": "[{"}, r"line 2, column tools: not readable as JSON"),
        ({"tools": '[{"type": "function"}]'}, r"line 2, column tools: tools.0.: found"),
        ({"reference": "#### 18"}, r"line 2, column reference: not readable as JSON"),
        ({"reference": '["cat"]'}, r'column reference: call 0: found \'cat\', expected {"name"'),
        ({"reference": '[{"name": "cat", "arguments": [1]}]'}, r"call 0, arguments: found an array, expected an object"),
        ({"split": "dev"}, r"line 2, column split: .*'train', 'validation' or 'test'"),
        ({"turn": -1}, r"line 2, column turn: .*greater than or equal to 0"),
    ],
)
def test_a_broken_row_is_told_with_line_and_column(tmp_path: Path, broken: dict[str, Any], said: str):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, **broken})}\n")
    with pytest.raises(UserError, match=said):
        list(open_steps(path).rows())


def test_a_broken_cell_of_verl_is_told_with_its_path_and_row(tmp_path: Path):
    record = {"prompt": GOOD["prompt"], "reward_model": {"ground_truth": "18"}, "extra_info": {"index": 0}}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "math.parquet")
    with pytest.raises(
        UserError, match=r"row 0, column reward_model.ground_truth: found an integer, expected a list of calls"
    ):
        list(open_steps(tmp_path / "math.parquet").rows())


def test_an_id_that_stands_twice(tmp_path: Path):
    write_steps([ROW, ROW], tmp_path / "x.jsonl", "steps")
    with pytest.raises(UserError, match=r"line 2, column id: 't/0.0' stands in line 1 already"):
        list(open_steps(tmp_path / "x.jsonl").rows())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "no such file"),
        ("x.csv", b"a", r"found the suffix '.csv', expected .jsonl or .parquet"),
        ("x.parquet", b"no parquet", "not readable as parquet"),
        ("x.jsonl", b"{", "line 1: not readable as JSON"),
        ("x.jsonl", b'{"question": 1}', r"found the columns question, expected messages, reference \(steps\)"),
        ("x.jsonl", b"", "found the columns none"),
    ],
)
def test_a_file_that_is_none_of_the_layouts(tmp_path: Path, name: str, content: bytes | None, said: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        open_steps(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    write_steps([ROW], tmp_path / "x.jsonl", "steps")
    before = (tmp_path / "x.jsonl").read_bytes()

    def broken():
        yield ROW
        raise UserError("row 1: broken")

    with pytest.raises(UserError):
        write_steps(broken(), tmp_path / "x.jsonl", "steps")
    assert (tmp_path / "x.jsonl").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "x.jsonl"]
