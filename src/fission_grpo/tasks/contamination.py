"""Keeps generated tasks apart from the benchmark, and from each other.

Three things are looked at: initial configurations, eight words in a row of what the user says, and what is called. Single
calls and pairs are the tools' own grammar (the brake is pressed before the engine starts), and every user of the APIs makes
them; a solution shows in a *run* of calls with their arguments. So a task repeats the benchmark if its whole reference is
one of the benchmark's, or if any three calls in a row are. (A shared longer run holds a shared run of three.)
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from fission_grpo.tasks.catalogue import ADDED_TOOLS_MESSAGE, benchmark_entries
from fission_grpo.tasks.task import Split, Task
from fission_grpo.types import ToolCall

NGRAM = 8
RUN = 3
_WORD = re.compile(r"\w+")


def ngrams(text: str, size: int = NGRAM) -> set[tuple[str, ...]]:
    """Every run of `size` words, in lower case and without punctuation."""
    words = _WORD.findall(text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def fingerprints(config: dict[str, Any]) -> set[str]:
    """One canonical text for each API class that has a configuration."""
    return {f"{api} {json.dumps(state, sort_keys=True)}" for api, state in config.items() if state}


def user_text(task: Task) -> str:
    """All that the user says in a task, one message a line; without the one that bfcl-eval prescribes word for word."""
    said = (str(message["content"]) for turn in task.turns for message in turn.messages)
    return "\n".join(text for text in said if text != ADDED_TOOLS_MESSAGE)


def call_sequence(calls: Iterable[ToolCall]) -> tuple[str, ...]:
    """One canonical text a call: arguments in one order, and 5.0 written as 5."""
    return tuple(f"{call.name} {json.dumps(_canonical(call.arguments), sort_keys=True)}" for call in calls)


def runs(sequence: Sequence[str], size: int = RUN) -> set[tuple[str, ...]]:
    """Every run of `size` calls in a row, over the borders of turns."""
    return {tuple(sequence[start : start + size]) for start in range(len(sequence) - size + 1)}


def reference_sequence(task: Task) -> tuple[str, ...]:
    """All reference calls of a task."""
    return call_sequence(call for turn in task.turns for call in turn.calls)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(each) for key, each in cast(dict[str, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in cast(Sequence[Any], value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class Benchmark:
    """What the benchmark's tasks hold.

    Attributes:
        configurations: as fingerprints.
        ngrams: of what the user says.
        sequences: the reference calls of whole tasks.
        runs: all runs of three reference calls.
    """

    configurations: frozenset[str]
    ngrams: frozenset[tuple[str, ...]]
    sequences: frozenset[tuple[str, ...]]
    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, entries: Iterable[dict[str, Any]]) -> "Benchmark":
        """From tasks in the form of `catalogue.benchmark_entries`."""
        configurations: set[str] = set()
        grams: set[tuple[str, ...]] = set()
        sequences: set[tuple[str, ...]] = set()
        for entry in entries:
            configurations |= fingerprints(entry["initial_config"])
            sequences.add(call_sequence(call for turn in entry["reference"] for call in turn))
            for message in (message for turn in entry["question"] for message in turn):
                grams |= ngrams(str(message["content"]))
        in_a_row = (run for sequence in sequences for run in runs(sequence))
        return cls(frozenset(configurations), frozenset(grams), frozenset(sequences), frozenset(in_a_row))


@cache
def official_benchmark() -> Benchmark:
    """All 800 multi-turn tasks of BFCL."""
    return Benchmark.of(benchmark_entries())


class Contamination:
    """What a new task must not share with tasks that exist."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self._accepted: set[tuple[str, str]] = set()
        self._split_of_text: dict[str, Split] = {}

    def shared(self, task: Task) -> str | None:
        """What the task shares with the benchmark or an accepted task, in words, or None."""
        if fingerprints(task.config) & self._benchmark.configurations:
            return "a configuration of the benchmark"
        if any(ngrams(line) & self._benchmark.ngrams for line in user_text(task).splitlines()):
            return f"{NGRAM} words in a row with the benchmark"
        if self._key(task) in self._accepted:
            return "everything with a task accepted before"
        if self._split_of_text.get(user_text(task), task.split) != task.split:
            return "the user's words with a task of another split"
        return None

    def repeated_calls(self, task: Task) -> str | None:
        """What the reference repeats of the benchmark's, in words, or None.

        Apart from `shared`, because the tasks of the compact mix are fixed and were made without it.
        """
        sequence = reference_sequence(task)
        if sequence in self._benchmark.sequences:
            return "all reference calls with a task of the benchmark"
        if runs(sequence) & self._benchmark.runs:
            return f"{RUN} reference calls in a row with the benchmark"
        return None

    def accept(self, tasks: Sequence[Task]) -> None:
        """Remembers tasks, so that the same one is not made twice."""
        self._accepted |= {self._key(task) for task in tasks}
        self._split_of_text |= {user_text(task): task.split for task in tasks}

    def _key(self, task: Task) -> tuple[str, str]:
        return user_text(task), json.dumps(task.config, sort_keys=True)
