"""What bfcl-eval ships as data, read without importing it: its tools by API class, and its multi-turn tasks."""

import ast
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.types import ToolCall

DOCUMENTATION = {
    "GorillaFileSystem": "gorilla_file_system.json",
    "MathAPI": "math_api.json",
    "MessageAPI": "message_api.json",
    "TicketAPI": "ticket_api.json",
    "TradingBot": "trading_bot.json",
    "TravelAPI": "travel_booking.json",
    "TwitterAPI": "posting_api.json",
    "VehicleControlAPI": "vehicle_control.json",
}
ADDED_TOOLS_MESSAGE = "I have updated some more functions you can choose from. What about now?"
"""What bfcl-eval says in the user's name where a turn only brings withheld tools."""
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")


def data_folder() -> Path:
    """Where bfcl-eval keeps its data.

    Raises:
        UserError: bfcl-eval is not installed.
    """
    spec = find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("bfcl-eval is not installed; `pip install --no-deps bfcl-eval==2026.3.23` installs it")
    return Path(spec.submodule_search_locations[0]) / "data"


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """One object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@cache
def tool_names(api: str) -> tuple[str, ...]:
    """Names of all tools of an API class."""
    path = data_folder() / "multi_turn_func_doc" / DOCUMENTATION[api]
    return tuple(entry["name"] for entry in read_json_lines(path))


@cache
def _parameters() -> dict[str, tuple[str, ...]]:
    """Names of the parameters of every tool, in order."""
    folder = data_folder() / "multi_turn_func_doc"
    entries = (entry for file in DOCUMENTATION.values() for entry in read_json_lines(folder / file))
    return {entry["name"]: tuple(entry["parameters"]["properties"]) for entry in entries}


def benchmark_entries() -> list[dict[str, Any]]:
    """The benchmark's own multi-turn tasks, 200 in each of the four categories, with their reference calls.

    As bfcl-eval ships them, and under `reference` a list of `ToolCall`s a turn.
    """
    return [entry for category in CATEGORIES for entry in _entries(f"BFCL_v4_multi_turn_{category}.json")]


def _entries(file: str) -> Iterator[dict[str, Any]]:
    answers = {row["id"]: row["ground_truth"] for row in read_json_lines(data_folder() / "possible_answer" / file)}
    for entry in read_json_lines(data_folder() / file):
        yield {**entry, "reference": [[_read_call(text) for text in texts] for texts in answers[entry["id"]]]}


def _read_call(text: str) -> ToolCall:
    """Reads `mv('a', destination='b')`. Literals only: nothing is evaluated."""
    node = ast.parse(text.strip(), mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"not a plain call: {text!r}")
    arguments = {name: ast.literal_eval(value) for name, value in zip(_parameters()[node.func.id], node.args, strict=False)}
    arguments |= {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return ToolCall(node.func.id, arguments)
