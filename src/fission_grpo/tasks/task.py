"""`Task`: what an episode is about, and the JSONL file format it is stored in (schema: docs/tasks.md).

One line of a task file is one JSON object::

    {"id": "gfs-login-000017", "scenario": "gfs-000017", "environment": "bfcl", "split": "train",
     "classes": ["GorillaFileSystem"], "tools": ["cd", "cat", "ls"], "config": {"GorillaFileSystem": {...}},
     "turns": [{"messages": [{"role": "user", "content": "..."}],
                "reference": [[{"name": "cd", "arguments": {"folder": "docs"}}], [{"name": "cat", ...}]]}],
     "tags": ["hidden_hazard", "wrong_directory"], "long_context": false}
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.types import Message, ToolCall

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Turn:
    """One user turn: what the user says, and the reference solution as *assistant messages of calls*.

    `reference` is empty where the right answer is to call nothing. `new_tools` are withheld from the tools offered until
    this turn begins (BFCL's missing-function tasks).
    """

    messages: tuple[Message, ...]
    reference: tuple[tuple[ToolCall, ...], ...] = ()
    new_tools: tuple[str, ...] = ()

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The reference calls of the turn in order, over all its messages."""
        return tuple(call for message in self.reference for call in message)


@dataclass(frozen=True)
class Careless:
    """A call that a careless policy makes first and that is known to err, leaving the state unchanged.

    Attributes:
        turn: index of the user turn.
        step: index of the reference message that it comes before.
        call: the call that errs; going on with the reference after it still solves the task.
    """

    turn: int
    step: int
    call: ToolCall


@checked_dataclass(frozen=True)
class Task:
    """One task of a live environment.

    Attributes:
        id: unique in its file.
        scenario: tasks of one scenario share configuration or wording; splits and intervals go by scenario.
        environment: registered name of the environment class.
        config: initial configuration of the environment (for `bfcl`: `initial_config`, by API class).
        turns: the user turns with their reference calls.
        classes: API classes involved (for `bfcl`).
        tools: names of the tools offered; empty offers every tool of the classes.
        tags: what the task holds; `hidden_hazard` marks one that a careless first call falls into.
        careless: calls known to err, for error contexts made without a policy; empty where no hazard is.
    """

    id: str
    scenario: str
    turns: tuple[Turn, ...]
    environment: str = "bfcl"
    split: Split = "train"
    classes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    tags: tuple[str, ...] = ()
    long_context: bool = False
    careless: tuple[Careless, ...] = ()


_TASK = TypeAdapter(Task)
_ROLES = ("system", "developer", "user", "assistant", "tool")


def load_tasks(path: Path | str) -> list[Task]:
    """Reads a task file.

    Raises:
        UserError: the file does not exist, or a line is broken: names file, line and field. No line is dropped silently.
    """
    path = Path(path)
    if not path.is_file():
        advice = f"no such file; `fission tasks generate --out {path.parent}` writes train.jsonl and others there"
        raise UserError(f"task file {path}: {'a folder; name a file in it' if path.is_dir() else advice}")
    tasks: list[Task] = []
    seen: dict[str, int] = {}
    # Not `splitlines`: it also breaks at characters that may stand inside a JSON string, such as U+2028.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            task = _TASK.validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole line"
            raise UserError(f"task file {path}, line {number}, field {where}: {first['msg']}") from error
        if fault := _fault(task):
            raise UserError(f"task file {path}, line {number}, field {fault}")
        if task.id in seen:
            raise UserError(f"task file {path}, line {number}, field id: {task.id!r} stands on line {seen[task.id]} already")
        seen[task.id] = number
        tasks.append(task)
    if not tasks:
        raise UserError(f"task file {path}: no tasks in it")
    return tasks


def _fault(task: Task) -> str | None:
    """What is wrong with the turns. One without messages is none: an environment may have more to say by itself."""
    if not task.turns:
        return "turns: none found, at least one is needed"
    for number, turn in enumerate(task.turns):
        for message in turn.messages:
            silent = message.get("content") is None and bool(message.get("tool_calls"))
            if message.get("role") not in _ROLES or not (silent or isinstance(message.get("content"), str)):
                return (
                    f"turns.{number}.messages: {str(message)[:200]} found, a message has a `role` ({', '.join(_ROLES)}) and "
                    "`content`, which is text (or `tool_calls` in its place)"
                )
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"task file {path}: not text in UTF-8 (a parquet file holds step instances, not tasks)") from error


def dump_task(task: Task) -> str:
    """One line of a task file, without its newline. Keys keep their order: a file system lists its files in it."""
    return json.dumps(_TASK.dump_python(task, mode="json"), ensure_ascii=False)


def save_tasks(tasks: Iterable[Task], path: Path | str) -> None:
    """Writes a task file, one line a task."""
    write_whole(Path(path), "".join(dump_task(task) + "\n" for task in tasks))
