"""The official package as it is, one task at a time: its data, its handlers, and what one task leaves behind undone.

Only the HTTP client of a handler is replaced. Import this after BFCL_PROJECT_ROOT is set, or the package writes its folders
into site-packages.
"""

import copy
import importlib
import inspect
import io
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import mpmath
from bfcl_eval._llm_response_generation import build_handler, multi_threaded_inference
from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
from bfcl_eval.eval_checker.multi_turn_eval.func_source_code import long_context, posting_api
from bfcl_eval.utils import load_dataset_entry, load_ground_truth_entry

from official_bfcl.calls import Style
from official_bfcl.kinds.values import HARMLESS
from official_bfcl.scripted import ScriptedModel

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
REGISTRY_NAMES: dict[Style, str] = {"qwen-fc": "Qwen/Qwen3-1.7B-FC", "prompting": "Qwen/Qwen3-1.7B"}
TEMPERATURE = 0.001  # what `bfcl generate` sets when nobody does


@dataclass(frozen=True)
class Task:
    """An official row as `bfcl generate` reads it, and its reference calls."""

    row: dict[str, Any]
    ground_truth: list[list[str]]

    @property
    def id(self) -> str:
        return self.row["id"]

    @property
    def category(self) -> str:
        return self.id.rsplit("_", 1)[0]


def load_tasks(*, for_evaluation: bool = False) -> list[Task]:
    """All 800 tasks. The evaluator reads the rows without the hint about Python that the generator adds to tool docs."""
    tasks: list[Task] = []
    for category in CATEGORIES:
        rows = load_dataset_entry(category, include_prereq=False, include_language_specific_hint=not for_evaluation)
        truths = {truth["id"]: truth["ground_truth"] for truth in load_ground_truth_entry(category)}
        tasks += [Task(row, truths[row["id"]]) for row in rows]
    return tasks


def load_parameters() -> dict[str, list[str]]:
    """The parameters of every tool in the order of its signature."""
    parameters: dict[str, list[str]] = {}
    for name in HARMLESS:
        api = getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[name]), name)
        for tool, function in inspect.getmembers(api, inspect.isfunction):
            if not tool.startswith("_"):
                parameters[tool] = list(inspect.signature(function).parameters)[1:]
    return parameters


def _shared_data() -> list[dict[str, Any]]:
    return [value for name, value in vars(long_context).items() if isinstance(value, dict) and not name.startswith("_")]


@contextmanager
def fresh_state() -> Generator[None]:
    """Undoes afterwards what a task leaves behind in the official modules.

    These are the instances in the module's globals, the mutable defaults of `post_tweet`, the long-context data that the
    instances share, and mpmath's precision. An official run of many tasks in one process undoes none of it.
    """
    saved, names = copy.deepcopy(_shared_data()), set(vars(multi_turn_utils))
    mpmath.mp.dps = 15
    try:
        yield
    finally:
        for live, original in zip(_shared_data(), saved, strict=True):
            if live != original:
                live.clear()
                live.update(original)
        posting_api.TwitterAPI.post_tweet.__defaults__ = ([], [])
        mpmath.mp.dps = 15
        for name in vars(multi_turn_utils).keys() - names:
            delattr(multi_turn_utils, name)


@contextmanager
def silence() -> Generator[None]:
    """The official code prints every step, and model text may print as well."""
    with redirect_stdout(io.StringIO()):
        yield


def _scripted_client(handler: Any, model: ScriptedModel, prompts: list[str]) -> Callable[[dict[str, Any]], Any]:
    """Stands in for `_query_prompting`: the real `_format_prompt`, then the scripted answer instead of a server's."""
    position = SimpleNamespace(turn=-1, step=0)

    def query(inference_data: dict[str, Any]) -> tuple[Any, float]:
        prompt = handler._format_prompt(inference_data["message"], inference_data["function"])
        inference_data["inference_input_log"] = {"formatted_prompt": prompt}
        prompts.append(prompt)
        new_turn = inference_data["message"][-1]["role"] == "user"
        position.turn, position.step = (position.turn + 1, 0) if new_turn else (position.turn, position.step + 1)
        text = model.say(position.turn, position.step)
        usage = SimpleNamespace(prompt_tokens=len(prompt), completion_tokens=len(text))
        return SimpleNamespace(choices=[SimpleNamespace(text=text)], usage=usage), 0.0

    return query


def make_handler(style: Style) -> Any:
    return build_handler(REGISTRY_NAMES[style], TEMPERATURE)


def run_inference(handler: Any, task: Task, model: ScriptedModel, *, state_log: bool) -> tuple[dict[str, Any], list[str]]:
    """One task as `bfcl generate` runs it: the entry that it would write, and the prompts in order."""
    prompts: list[str] = []
    handler._query_prompting = _scripted_client(handler, model, prompts)
    with silence(), fresh_state():
        entry = multi_threaded_inference(handler, copy.deepcopy(task.row), False, not state_log)
    return entry, prompts
