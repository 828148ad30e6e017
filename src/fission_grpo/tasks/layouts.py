"""How rows lie in files: our own step files, TRL's conversational format, verl's parquet layout (docs/tasks.md).

Reading is renaming: what a cell may hold, and what is said of a broken one, is `StepRow`'s own affair.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import pyarrow as pa

from fission_grpo.tasks.rows import arrow_messages, tools_of
from fission_grpo.tasks.steps import TEXT_KEYS, StepRow
from fission_grpo.types import ToolCall

LayoutName = Literal["steps", "trl", "verl"]
Record = Mapping[str, Any]

_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
_MESSAGE = pa.struct([("role", pa.string()), *((key, pa.string()) for key in TEXT_KEYS), ("tool_calls", pa.list_(_CALL))])
_PLACE = [("task", pa.string()), ("turn", pa.int64()), ("step", pa.int64()), ("tags", pa.list_(pa.string()))]


@dataclass(frozen=True)
class Layout:
    """One way to lay out rows.

    Attributes:
        suffixes: of its files, the usual one first.
        places: field of `StepRow` -> where a record holds it, parts joined by dots.
        required: fields that a record must hold; the others have a default.
        encode: a row and its number -> a record.
        schema: of its parquet files; always all of it, so that files can be concatenated. None where it has no parquet.
    """

    name: LayoutName
    suffixes: tuple[str, ...]
    places: Mapping[str, str]
    required: tuple[str, ...]
    encode: Callable[[StepRow, int], dict[str, Any]]
    schema: pa.Schema | None = None

    def fits(self, columns: set[str]) -> bool:
        """Whether a file with these columns (or keys) can only be meant as this layout."""
        return {self.places[name].split(".")[0] for name in self.required} <= columns

    def ignored(self, columns: set[str]) -> list[str]:
        """Columns that mean nothing here."""
        known = self.schema.names if self.schema is not None else self.places
        return sorted(columns - set(known))

    def decode(self, record: Record, number: int) -> dict[str, Any]:
        """The fields of a `StepRow`, unchecked; what a foreign file need not say is filled in."""
        found = {name: _at(record, place) for name, place in self.places.items()}
        fields = {name: value for name, value in found.items() if value is not None or name in self.required}
        if self.name != "steps" and "tools" in fields and not isinstance(fields["tools"], str):
            fields["tools"] = tools_of(fields)  # a list that went through Arrow: every object has the keys of all
        name = str(fields.get("id", f"row-{number:06d}"))
        return {"id": name, "scenario": name, "task": name, "source": "unknown", "split": "train", "tools": [], **fields}


def _encode_steps(row: StepRow, _: int) -> dict[str, Any]:
    return asdict(row)


def _encode_trl(row: StepRow, _: int) -> dict[str, Any]:
    return {
        "prompt": arrow_messages(row.messages),
        "tools": _text(row.tools),
        "reference": _calls(row.reference),
        "id": row.id,
        "scenario": row.scenario,
        "source": row.source,
        "split": row.split,
        **_place(row),
    }


def _encode_verl(row: StepRow, number: int) -> dict[str, Any]:
    return {
        "data_source": row.source,
        "prompt": arrow_messages(row.messages),
        "ability": "tool_use",
        "reward_model": {"style": "rule", "ground_truth": _calls(row.reference)},
        "extra_info": {
            "split": row.split,
            "index": number,
            "id": row.id,
            "scenario": row.scenario,
            "tools": _text(row.tools),
            "need_tools_kwargs": False,
            **_place(row),
        },
    }


def _place(row: StepRow) -> dict[str, Any]:
    return {"task": row.task, "turn": row.turn, "step": row.step, "tags": list(row.tags)}


def _calls(reference: tuple[ToolCall, ...]) -> str:
    return _text([asdict(call) for call in reference])


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _at(record: Record, place: str) -> Any:
    value: Any = record
    for part in place.split("."):
        value = cast(Record, value).get(part) if isinstance(value, Mapping) else None
    return value


_TEXTS = ("id", "scenario", "source", "split", "task", "turn", "step", "tags")
_REQUIRED = ("messages", "reference")

STEPS = Layout(
    "steps", (".jsonl",), {name: name for name in ("messages", "tools", "reference", *_TEXTS)}, _REQUIRED, _encode_steps
)
TRL = Layout(
    "trl",
    (".parquet", ".jsonl"),
    {"messages": "prompt", "tools": "tools", "reference": "reference", **{name: name for name in _TEXTS}},
    _REQUIRED,
    _encode_trl,
    pa.schema(
        [
            ("prompt", pa.list_(_MESSAGE)),
            *((name, pa.string()) for name in ("tools", "reference", "id", "scenario", "source", "split")),
            *_PLACE,
        ]
    ),
)
VERL = Layout(
    "verl",
    (".parquet",),
    {
        "messages": "prompt",
        "reference": "reward_model.ground_truth",
        "source": "data_source",
        **{name: f"extra_info.{name}" for name in ("tools", *_TEXTS) if name != "source"},
    },
    _REQUIRED,
    _encode_verl,
    pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(_MESSAGE)),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            (
                "extra_info",
                pa.struct(
                    [
                        ("split", pa.string()),
                        ("index", pa.int64()),
                        *((name, pa.string()) for name in ("id", "scenario", "tools")),
                        ("need_tools_kwargs", pa.bool_()),
                        *_PLACE,
                    ]
                ),
            ),
        ]
    ),
)
LAYOUTS: dict[LayoutName, Layout] = {layout.name: layout for layout in (STEPS, TRL, VERL)}
