"""Nothing of the benchmark, nothing twice, nothing across splits."""

from dataclasses import replace
from typing import Any

import pytest

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.catalogue import benchmark_entries
from fission_grpo.tasks.contamination import Benchmark, Contamination, fingerprints, ngrams, official_benchmark, user_text
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.task import Split, Task, Turn


def _task(text: str, config: dict[str, Any] | None = None, split: Split = "train") -> Task:
    return Task("t", "s", (Turn(({"role": "user", "content": text},)),), split=split, config=config or {})


BENCHMARK = Benchmark.of(
    [
        {
            "initial_config": {"TicketAPI": {"ticket_counter": 7, "ticket_queue": []}},
            "question": [[{"role": "user", "content": "Please close the ticket number seven right now, friend!"}]],
            "reference": [[call("ticket_login", username="a", password="b"), call("get_ticket", ticket_id=7)]],
        },
        {
            "initial_config": {},
            "question": [],
            "reference": [[call("add", a=1, b=2.0), call("add", a=1, b=3)], [call("add", a=1, b=4), call("add", a=9, b=9)]],
        },
    ]
)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (_task("Hello.", {"TicketAPI": {"ticket_queue": [], "ticket_counter": 7}}), "configuration"),
        (_task("And then please CLOSE the ticket, number seven: right now?"), "8 words in a row"),
        (_task("Please close the ticket number seven right then."), None),
        (_task("Hello.", {"TicketAPI": {"ticket_queue": [], "ticket_counter": 8}}), None),
    ],
)
def test_what_is_shared_with_the_benchmark_is_found(task: Task, reason: str | None):
    shared = Contamination(BENCHMARK).shared(task)
    assert shared is None if reason is None else reason in (shared or "")


def test_the_same_task_twice_and_the_same_words_in_another_split():
    contamination = Contamination(BENCHMARK)
    task = _task("Hello.", {"TicketAPI": {"ticket_counter": 9}})
    contamination.accept([task])
    other = replace(task, config={"TicketAPI": {"ticket_counter": 10}})
    assert "everything" in (contamination.shared(task) or "")
    assert contamination.shared(other) is None
    assert "another split" in (contamination.shared(replace(other, split="test")) or "")


def test_generated_tasks_share_nothing_with_the_benchmark_or_across_splits():
    entries = benchmark_entries()
    assert len(entries) == 800
    tasks = generate_tasks(300, 1, BFCLEnvironment())
    words = {gram for entry in entries for turn in entry["question"] for m in turn for gram in ngrams(m["content"])}
    assert not any(ngrams(user_text(task)) & words for task in tasks)
    configurations = {print_ for entry in entries for print_ in fingerprints(entry["initial_config"])}
    assert configurations == official_benchmark().configurations
    assert not any(fingerprints(task.config) & configurations for task in tasks)
    by_split = {split: {user_text(task) for task in tasks if task.split == split} for split in ("train", "test")}
    assert by_split["train"].isdisjoint(by_split["test"])
    assert len({task.scenario for task in tasks}) == len(tasks)
