"""The 800 official multi-turn tasks as `Task`s."""

import ast
import inspect
import json
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, get_args

from fission_grpo.environments.bfcl.executor import method_table
from fission_grpo.environments.bfcl.package import data_folder, package_module
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import Message, ToolCall

Category = Literal["multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


def official_tasks(category: Category) -> list[Task]:
    """The 200 tasks of one category, in the official order, with one reference call per assistant message.

    The four categories share their scenarios by number, so `scenario` is the number.

    Raises:
        UserError: unknown category, or bfcl-eval is not installed.
    """
    if category not in CATEGORIES:
        raise UserError(f"BFCL category {category!r}: no such category; allowed: {', '.join(CATEGORIES)}")
    file = f"BFCL_v4_{category}.json"
    answers = {row["id"]: row["ground_truth"] for row in _rows("possible_answer/" + file)}
    return [_task(row, answers[row["id"]], category) for row in _rows(file)]


def _rows(file: str) -> Iterable[dict[str, Any]]:
    with (data_folder() / file).open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _task(row: dict[str, Any], answer: list[list[str]], category: Category) -> Task:
    classes = tuple(row["involved_classes"])
    withheld: dict[str, list[str]] = row.get("missed_function", {})
    return Task(
        id=row["id"],
        scenario="bfcl-" + row["id"].rsplit("_", 1)[1],
        split="test",
        classes=classes,
        config=row["initial_config"],
        turns=tuple(
            Turn(
                messages=tuple(messages or _added_tools_message()),
                reference=tuple((parse_call(text, classes),) for text in texts),
                new_tools=tuple(withheld.get(str(index), ())),
            )
            for index, (messages, texts) in enumerate(zip(row["question"], answer, strict=True))
        ),
        tags=(category,),
        long_context=category == "multi_turn_long_context",
    )


def _added_tools_message() -> list[Message]:
    """What the official pipeline says where a turn has no text of its own because only its tools are new."""
    text: str = package_module("constants.default_prompts").DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC
    return [{"role": "user", "content": text}]


def parse_call(text: str, classes: tuple[str, ...]) -> ToolCall:
    """Reads a reference call such as `mv('a', destination='b')`; positional arguments get their parameters' names.

    Only literals are read; nothing is evaluated.
    """
    node = ast.parse(text.strip(), mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"not a plain call: {text!r}")
    names = _parameters(node.func.id, classes)
    arguments: dict[str, Any] = {name: ast.literal_eval(value) for name, value in zip(names, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError(f"not a plain call: {text!r}")
        arguments[keyword.arg] = ast.literal_eval(keyword.value)
    return ToolCall(node.func.id, arguments)


@cache
def _parameters(name: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(inspect.signature(method_table(classes)[name].function).parameters)[1:]
