"""Keeps generated tasks apart from the benchmark, and from each other: no shared configuration, no shared 8-gram."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fission_grpo.tasks.catalogue import benchmark_entries
from fission_grpo.tasks.task import Split, Task

NGRAM = 8
_WORD = re.compile(r"\w+")


def ngrams(text: str, size: int = NGRAM) -> set[tuple[str, ...]]:
    """Every run of `size` words, in lower case and without punctuation."""
    words = _WORD.findall(text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def fingerprints(config: dict[str, Any]) -> set[str]:
    """One canonical text for each API class that has a configuration."""
    return {f"{api} {json.dumps(state, sort_keys=True)}" for api, state in config.items() if state}


def user_text(task: Task) -> str:
    """All that the user says in a task, one message a line."""
    return "\n".join(str(message["content"]) for turn in task.turns for message in turn.messages)


@dataclass(frozen=True)
class Benchmark:
    """What the benchmark's tasks hold: configurations as fingerprints, and all n-grams of what the user says."""

    configurations: frozenset[str]
    ngrams: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, entries: Iterable[dict[str, Any]]) -> "Benchmark":
        """From tasks in the form that bfcl-eval ships them in (`catalogue.benchmark_entries`)."""
        configurations: set[str] = set()
        grams: set[tuple[str, ...]] = set()
        for entry in entries:
            configurations |= fingerprints(entry["initial_config"])
            for message in (message for turn in entry["question"] for message in turn):
                grams |= ngrams(str(message["content"]))
        return cls(frozenset(configurations), frozenset(grams))


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

    def accept(self, tasks: Sequence[Task]) -> None:
        """Remembers tasks, so that the same one is not made twice."""
        self._accepted |= {self._key(task) for task in tasks}
        self._split_of_text |= {user_text(task): task.split for task in tasks}

    def _key(self, task: Task) -> tuple[str, str]:
        return user_text(task), json.dumps(task.config, sort_keys=True)
