"""Turns without a reference: something is withheld that the next turn brings. Proven by playing and reading the task."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from fission_grpo.tasks.proof import Coincidence, Disproof, Playable
from fission_grpo.tasks.task import Task

_WORD = re.compile(r"\w+")


def prove_empty_turns(task: Task, environment: Playable) -> None:
    """Proves that a turn without reference cannot be served, and that the turn after it can.

    Either a tool that the next turn's reference calls is offered from that turn on only; or a value that it calls with is
    first heard of there: it stands in no earlier message or result, nor in the configuration. (That the calls of the next
    turn are needed is proven with all others.)

    Raises:
        Coincidence: neither holds.
        Disproof: no turn follows, or the reference calls a tool before it is offered.
    """
    if all(turn.calls for turn in task.turns):
        return
    offered, heard = _play_listening(task, environment)
    for index, turn in enumerate(task.turns):
        if not {call.name for call in turn.calls} <= offered[index]:
            raise Disproof(f"{task.id}: turn {index} calls a tool that is not offered yet")
        if turn.calls:
            continue
        if index + 1 == len(task.turns):
            raise Disproof(f"{task.id}: turn {index} has no reference, and no turn follows")
        withheld = {call.name for call in task.turns[index + 1].calls} - offered[index]
        if not withheld and not _new_values(task, index + 1, heard[index]):
            raise Coincidence(f"{task.id}: turn {index} has no reference, but could be served")


def values_are_open(task: Task) -> bool:
    """Whether each value that is left out at first stands nowhere in earlier messages and in the configuration.

    Numbers are few: chance may put one there.
    """
    heard = _words(json.dumps(task.config))
    for index, turn in enumerate(task.turns):
        heard += _words(_said(task, index))
        if not turn.calls and not task.turns[index + 1].new_tools and not _new_values(task, index + 1, heard):
            return False
    return True


def _play_listening(task: Task, environment: Playable) -> tuple[list[set[str]], list[str]]:
    """By turn, the names of the tools offered, and all words of configuration, messages and results up to its end."""
    environment.reset(task)
    offered: list[set[str]] = []
    heard: list[str] = []
    words = _words(json.dumps(task.config))
    for index, turn in enumerate(task.turns):
        offered.append({str(tool["function"]["name"]) for tool in environment.tools})
        words += _words(_said(task, index))
        for call in turn.calls:
            words += _words(environment.call(call).content)
        heard.append(words)
        environment.next_user_turn()
    return offered, heard


def _new_values(task: Task, index: int, heard: str) -> list[str]:
    """Values that the turn's reference calls with and its message says, and that were not heard of before."""
    said = _words(_said(task, index))
    values = (_words(value) for call in task.turns[index].calls for value in _scalars(call.arguments))
    return [value for value in values if value.strip() and value in said and value not in heard]


def _said(task: Task, index: int) -> str:
    return " ".join(str(message["content"]) for message in task.turns[index].messages)


def _words(text: str) -> str:
    """The words, each between blanks: a text holds another one exactly if its words do."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _scalars(value: Any) -> Iterator[str]:
    """Every single value inside an argument."""
    if isinstance(value, Mapping):
        for each in cast(Mapping[str, Any], value).values():
            yield from _scalars(each)
    elif isinstance(value, (list, tuple)):
        for each in cast(Sequence[Any], value):
            yield from _scalars(each)
    elif not isinstance(value, bool):
        yield str(value)
