"""Nothing of the benchmark, nothing twice, nothing across splits."""

from dataclasses import replace
from typing import Any

import pytest

from fission_grpo.environments.bfcl import CATEGORIES, BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.official import Category
from fission_grpo.tasks.catalogue import ADDED_TOOLS_MESSAGE, benchmark_entries
from fission_grpo.tasks.contamination import (
    Benchmark,
    Contamination,
    call_sequence,
    fingerprints,
    ngrams,
    official_benchmark,
    reference_sequence,
    runs,
    user_text,
)
from fission_grpo.tasks.draft import call
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import Split, Task, Turn
from fission_grpo.types import ToolCall


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


ADDITIONS = [call("add", a=1, b=number) for number in (2, 3, 4)]


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([call("ticket_login", password="b", username="a"), call("get_ticket", ticket_id=7.0)], "all reference calls"),
        ([call("pwd"), *ADDITIONS, call("ls")], "3 reference calls in a row"),
        ([call("get_ticket", ticket_id=7)], None),
        ([*ADDITIONS[:2], call("ls"), ADDITIONS[2]], None),
        ([call("add", a=1, b=2.5), *ADDITIONS[1:]], None),
    ],
)
def test_calls_repeated_from_the_benchmark_are_found(calls: list[ToolCall], reason: str | None):
    task = replace(_task("Hello."), turns=tuple(Turn((), ((each,),)) for each in calls))
    repeated = Contamination(BENCHMARK).repeated_calls(task)
    assert repeated is None if reason is None else reason in (repeated or "")


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_task_of_the_benchmark_itself_is_found(category: Category):
    contamination = Contamination(official_benchmark())
    for task in official_tasks(category):
        assert contamination.shared(task) and contamination.repeated_calls(task), task.id


def test_the_sentence_that_bfcl_eval_prescribes_is_not_the_users():
    prescribed = {
        str(message["content"])
        for task in official_tasks("multi_turn_miss_func")
        for turn in task.turns
        for message in turn.messages
        if turn.new_tools
    }
    assert prescribed == {ADDED_TOOLS_MESSAGE}
    assert user_text(_task(ADDED_TOOLS_MESSAGE)) == ""


def test_the_same_task_twice_and_the_same_words_in_another_split():
    contamination = Contamination(BENCHMARK)
    task = _task("Hello.", {"TicketAPI": {"ticket_counter": 9}})
    contamination.accept([task])
    other = replace(task, config={"TicketAPI": {"ticket_counter": 10}})
    assert "everything" in (contamination.shared(task) or "")
    assert contamination.shared(other) is None
    assert "another split" in (contamination.shared(replace(other, split="test")) or "")


@pytest.mark.parametrize("mix", Mix)
def test_generated_tasks_share_nothing_with_the_benchmark_or_across_splits(mix: Mix):
    entries = benchmark_entries()
    assert len(entries) == 800
    tasks = generate_tasks(200, 1, BFCLEnvironment(), mix=mix)
    words = {gram for entry in entries for turn in entry["question"] for m in turn for gram in ngrams(m["content"])}
    assert not any(ngrams(user_text(task)) & words for task in tasks)
    configurations = {print_ for entry in entries for print_ in fingerprints(entry["initial_config"])}
    assert configurations == official_benchmark().configurations
    assert not any(fingerprints(task.config) & configurations for task in tasks)
    called = {run for entry in entries for run in runs(call_sequence(each for turn in entry["reference"] for each in turn))}
    assert not any(runs(reference_sequence(task)) & called for task in tasks)
    by_split = {split: {user_text(task) for task in tasks if task.split == split} for split in ("train", "test")}
    assert by_split["train"].isdisjoint(by_split["test"])
    assert len({task.scenario for task in tasks}) == len(tasks)
