"""What is kept of an episode for tables and statistics: small, JSON-able, and to be pooled over runs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.evaluation.metrics import Ratio, total


@checked_dataclass(frozen=True)
class EpisodeRecord:
    """One episode of one policy on one task.

    Attributes:
        sample: which of the task's samples it is.
        counts: (numerator, denominator) of every metric.
        failures: number of mistakes by failure kind.
        masked: the infrastructure failed; the episode counts in no metric.
    """

    task_id: str
    scenario: str
    sample: int
    stop_reason: str
    counts: dict[str, tuple[int, int]]
    tags: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict[str, int])
    masked: bool = False
    steps: int = 0
    prefill_tokens: int = 0
    sampled_tokens: int = 0


_RECORD = TypeAdapter(EpisodeRecord)


def pool_metrics(records: Iterable[EpisodeRecord]) -> dict[str, Ratio]:
    """Every metric as a ratio of sums over the records that are not masked."""
    counted: dict[str, list[Ratio]] = {}
    for record in records:
        for name, counts in record.counts.items():
            counted.setdefault(name, []).append(Ratio() if record.masked else Ratio(*counts))
    return {name: total(ratios) for name, ratios in counted.items()}


def pool_failures(records: Iterable[EpisodeRecord]) -> dict[str, int]:
    """Mistakes by failure kind, most frequent first."""
    kinds: Counter[str] = Counter()
    for record in records:
        kinds.update(record.failures)
    return dict(kinds.most_common())


def to_json(record: EpisodeRecord) -> Mapping[str, object]:
    """The record as a JSON object."""
    return _RECORD.dump_python(record, mode="json")


def record_of_json(content: object) -> EpisodeRecord:
    """The record that `to_json` wrote.

    Raises:
        ValueError: it is none.
    """
    return _RECORD.validate_python(content, strict=False)


def save_records(records: Iterable[EpisodeRecord], path: Path) -> None:
    """Writes one JSON object a line. The file appears only once it is whole."""
    write_whole(path, "".join(json.dumps(to_json(record)) + "\n" for record in records))


def load_records(path: Path) -> Sequence[EpisodeRecord]:
    """Reads what `save_records` wrote.

    Raises:
        UserError: no such file, or a broken line.
    """
    if not path.is_file():
        raise UserError(f"records {path}: no such file; an evaluation writes one")
    records: list[EpisodeRecord] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(_RECORD.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole line"
            raise UserError(f"records {path}, line {number}, field {where}: {first['msg']}") from error
    return records
