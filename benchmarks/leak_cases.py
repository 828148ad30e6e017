"""The leak guard's own sets: feedbacks with the failures that they answer (`tests/fixtures/leaks`).

`adversarial.jsonl` gives answers away in disguise, `honest.jsonl` does not give them away, and `known_misses.jsonl` gives
them away in ways that the guard does not see. One JSON object a line: `calls` and `reference` as objects with `name` and
`arguments`, the `feedback`, and where they matter the environment's `error`, the names of the `tools` on offer and the name
of the `disguise`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fission_grpo.types import Failure, FailureKind, Tool, ToolCall, ToolResult

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "leaks"


@dataclass(frozen=True)
class Case:
    """A feedback to a failure; `disguise` says how it hides what it gives away."""

    feedback: str
    failure: Failure
    disguise: str


def load_cases(name: str) -> list[Case]:
    """The cases of `adversarial`, `honest` or `known_misses`."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_case(json.loads(line)) for line in lines]


def _case(row: dict[str, Any]) -> Case:
    results = (ToolResult(row["error"], is_error=True),) if "error" in row else ()
    kind = FailureKind.RUNTIME_ERROR if results else FailureKind.WRONG_ARGUMENTS
    tools, calls = tuple(_tool(name) for name in row.get("tools", ())), _calls(row["calls"])
    failure = Failure("t", "s", (), tools, (), (), "", calls, results, kind, reference=_calls(row["reference"]))
    return Case(row["feedback"], failure, row.get("disguise", ""))


def _calls(rows: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(row["name"], row["arguments"]) for row in rows)


def _tool(name: str) -> Tool:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
