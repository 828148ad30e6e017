"""Reads and writes files of step rows: JSONL or parquet, in any layout. A file appears once it is whole."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from fission_grpo.errors import UserError
from fission_grpo.tasks.layouts import LAYOUTS, Layout, LayoutName
from fission_grpo.tasks.steps import STEP_ROW, StepRow

ROWS_AT_ONCE = 512
SUFFIXES = (".jsonl", ".parquet")


@dataclass(frozen=True)
class StepFile:
    """A file of rows whose layout was recognised.

    Attributes:
        count: rows in it.
        ignored: columns that its layout gives no meaning to.
    """

    path: Path
    layout: Layout
    count: int
    ignored: list[str]

    def rows(self) -> Iterator[StepRow]:
        """The rows, checked.

        Raises:
            UserError: a broken row: names file, line or row, column, what was found and what was expected.
        """
        parquet = self.path.suffix == ".parquet"
        seen: dict[str, int] = {}
        for number, record in _parquet_records(self.path) if parquet else _json_records(self.path):
            where = f"file {self.path}, {'row' if parquet else 'line'} {number}"
            row = _checked(self.layout, record, number, where)
            if row.id in seen:
                at = f"{where}, column {self.layout.places['id']}"
                raise UserError(f"{at}: {row.id!r} stands in {'row' if parquet else 'line'} {seen[row.id]} already")
            seen[row.id] = number
            yield row


def is_task_file(path: Path) -> bool:
    """Whether a file holds whole tasks (`tasks.task`), by the keys of its first line."""
    return path.suffix == ".jsonl" and "turns" in _columns(path)


def open_steps(path: Path) -> StepFile:
    """Recognises a file by its suffix and its columns.

    Raises:
        UserError: no such file, another suffix, not readable, or columns that belong to no layout.
    """
    columns = _columns(path)
    for layout in LAYOUTS.values():
        if path.suffix in layout.suffixes and layout.fits(columns):
            return StepFile(path, layout, _count(path), layout.ignored(columns))
    expected = "; ".join(
        f"{', '.join(sorted({layout.places[name] for name in layout.required}))} ({layout.name})"
        for layout in LAYOUTS.values()
        if path.suffix in layout.suffixes
    )
    tasks = "; turns (a task file)" if path.suffix == ".jsonl" else ""
    raise UserError(f"file {path}: found the columns {', '.join(sorted(columns)) or 'none'}, expected {expected}{tasks}")


def write_steps(rows: Iterable[StepRow], path: Path, name: LayoutName) -> int:
    """Writes rows in a layout, JSONL or parquet by the suffix of `path`; returns how many."""
    layout = LAYOUTS[name]
    records = (layout.encode(row, number) for number, row in enumerate(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".partial")
    try:
        count = _write_parquet(records, draft, layout) if path.suffix == ".parquet" else _write_json(records, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _checked(layout: Layout, record: Any, number: int, where: str) -> StepRow:
    try:
        return STEP_ROW.validate_python(layout.decode(record, number))
    except ValidationError as error:
        first = error.errors()[0]
        field, *inner = (str(part) for part in first["loc"])
        at = ".".join([layout.places.get(field, field), *inner])
        said = str(first["ctx"]["error"]) if first["type"] == "value_error" and "ctx" in first else first["msg"]
        raise UserError(f"{where}, column {at}: {said}") from error


def _columns(path: Path) -> set[str]:
    if not path.is_file():
        raise UserError(f"file {path}: no such file")
    if path.suffix not in SUFFIXES:
        raise UserError(f"file {path}: found the suffix {path.suffix!r}, expected {' or '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        return set(_parquet(path).schema_arrow.names)
    return set(next((record for _, record in _json_records(path)), ()))


def _count(path: Path) -> int:
    if path.suffix == ".parquet":
        return _parquet(path).metadata.num_rows
    return sum(not line.isspace() for _, line in _lines(path))


def _json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of every line that is not empty, counted from 1."""
    for number, line in _lines(path):
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"file {path}, line {number}: not readable as JSON: {error}") from error
        if not isinstance(record, dict):
            raise UserError(f"file {path}, line {number}: expected one JSON object a line")
        yield number, record  # pyright: ignore[reportUnknownVariableType]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except UnicodeDecodeError as error:
        raise UserError(f"file {path}: not text in UTF-8; name a parquet file with the suffix .parquet") from error


def _parquet_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, record), counted from 0, as pandas and `datasets` do."""
    records = (record for batch in _parquet(path).iter_batches(ROWS_AT_ONCE) for record in batch.to_pylist())
    yield from enumerate(records)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"file {path}: not readable as parquet: {error}") from error


def _write_json(records: Iterable[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(records: Iterable[dict[str, Any]], path: Path, layout: Layout) -> int:
    count, remaining = 0, iter(records)
    with pq.ParquetWriter(path, layout.schema) as writer:
        while batch := list(islice(remaining, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(batch, schema=layout.schema))
            count += len(batch)
    return count
