"""What bfcl-eval ships as data, read without importing it: its tools by API class, and its multi-turn tasks."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError

DOCUMENTATION = {
    "GorillaFileSystem": "gorilla_file_system.json",
    "MathAPI": "math_api.json",
    "MessageAPI": "message_api.json",
    "TicketAPI": "ticket_api.json",
    "TradingBot": "trading_bot.json",
    "TwitterAPI": "posting_api.json",
}
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


def benchmark_entries() -> list[dict[str, Any]]:
    """The benchmark's own multi-turn tasks, 200 in each of the four categories."""
    return [
        entry for category in CATEGORIES for entry in read_json_lines(data_folder() / f"BFCL_v4_multi_turn_{category}.json")
    ]
