"""The benchmark's 800 entries: what bfcl-eval gives its handlers, beside the same task as ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fission_grpo.environments.bfcl import CATEGORIES, official_tasks
from fission_grpo.environments.bfcl.official import Category
from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message

SHORT_NAMES: Mapping[str, Category] = {category.removeprefix("multi_turn_"): category for category in CATEGORIES}
"""Names of the categories on the command line."""


@dataclass(frozen=True)
class Entry:
    """One task of the benchmark.

    Attributes:
        task: the same as a task of ours.
        functions: the documents offered from the start, with bfcl-eval's hint on Python syntax.
        withheld: by turn, the documents that this turn brings. They have no hint: it is added after they were taken out.
        question: the user's messages by turn; empty in a turn that brings functions.
    """

    task: Task
    category: Category
    functions: tuple[Mapping[str, Any], ...]
    withheld: Mapping[int, tuple[Mapping[str, Any], ...]]
    question: tuple[tuple[Message, ...], ...]

    @property
    def id(self) -> str:
        return self.task.id


@cache
def load_entries(category: Category) -> tuple[Entry, ...]:
    """The 200 entries of a category, in the official order. Shared: not to be changed.

    Raises:
        UserError: bfcl-eval is not installed.
    """
    rows: Sequence[Mapping[str, Any]] = package_module("utils").load_dataset_entry(category)
    return tuple(_entry(row, task, category) for row, task in zip(rows, _tasks(category).values(), strict=True))


def task_of(task_id: str) -> Task:
    """The task of an id such as `multi_turn_base_17`, without its function documents, which take long to read.

    Raises:
        UserError: no such entry.
    """
    category = task_id.rpartition("_")[0]
    found = _tasks(category).get(task_id) if category in CATEGORIES else None
    if found is None:
        raise UserError(f"task {task_id!r}: no entry of BFCL v4's multi-turn categories ({', '.join(CATEGORIES)}, 0 to 199)")
    return found


def choose_entries(categories: Sequence[str], limit: int | None) -> list[Entry]:
    """The entries to play, category by category.

    Args:
        categories: short names (`base`), or none for all four.
        limit: how many in all; spread evenly over the categories, the first scenarios of each.

    Raises:
        UserError: an unknown category, or a limit below one.
    """
    unknown = [name for name in categories if name not in SHORT_NAMES]
    if unknown:
        raise UserError(f"--category: found {unknown[0]!r}; allowed: {', '.join(SHORT_NAMES)}")
    if limit is not None and limit < 1:
        raise UserError(f"--limit: found {limit}; it must be 1 or more")
    chosen = [SHORT_NAMES[name] for name in dict.fromkeys(categories)] or list(CATEGORIES)
    shares = [len(load_entries(category)) for category in chosen]
    if limit is not None:
        shares = [limit // len(chosen) + (place < limit % len(chosen)) for place in range(len(chosen))]
    return [entry for category, share in zip(chosen, shares, strict=True) for entry in load_entries(category)[:share]]


@cache
def _tasks(category: Category) -> Mapping[str, Task]:
    return {task.id: task for task in official_tasks(category)}


def _entry(row: Mapping[str, Any], task: Task, category: Category) -> Entry:
    if row["id"] != task.id:
        raise UserError(
            f"bfcl-eval: its tasks are out of order ({row['id']} stands where {task.id} should); install it anew"
        )
    withheld: Mapping[str, Sequence[Mapping[str, Any]]] = row.get("missed_function", {})
    return Entry(
        task=task,
        category=category,
        functions=tuple(row["function"]),
        withheld={int(turn): tuple(functions) for turn, functions in withheld.items()},
        question=tuple(tuple(messages) for messages in row["question"]),
    )
