"""The generator and the compact mix: reproducible, divided as promised, and nothing given away in the prompt."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.errors import UserError
from fission_grpo.tasks.catalogue import tool_names
from fission_grpo.tasks.draft import Family
from fission_grpo.tasks.families import COMPACT_FAMILIES
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.proof import careless_results, play, prove, reference_script
from fission_grpo.tasks.task import Task, dump_task, load_tasks, save_tasks


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return generate_tasks(1000, 3, BFCLEnvironment(), mix=Mix.COMPACT)


@pytest.mark.parametrize("family", COMPACT_FAMILIES, ids=[family.name for family in COMPACT_FAMILIES])
def test_every_family_writes_tasks_that_hold_what_they_promise(family: Family):
    tasks = generate_tasks(12, 0, BFCLEnvironment(), mix=Mix.COMPACT, families=[family])
    present = sum(bool(task.careless) for task in tasks)
    expected = {"hidden": range(1, 12), "open": range(12, 13), "plain": range(0, 1)}[family.kind]
    assert present in expected
    for task in tasks:
        assert all(result.is_error for result in careless_results(task, BFCLEnvironment()))


@pytest.mark.parametrize("mix", Mix)
def test_same_seed_same_tasks_and_another_seed_other_tasks(mix: Mix):
    first, again, other = (generate_tasks(40, seed, BFCLEnvironment(), mix=mix) for seed in (5, 5, 6))
    assert first == again
    assert {str(task.turns) for task in first}.isdisjoint({str(task.turns) for task in other})


def test_the_compact_mix_is_fixed_byte_for_byte():
    learning = Path(__file__).parents[3] / "benchmarks" / "learning"
    for name, seed, shares in (("train", 101, SplitShares(1, 0, 0)), ("test", 202, SplitShares(0, 0, 1))):
        lines = (learning / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:200]
        tasks = generate_tasks(200, seed, BFCLEnvironment(), mix=Mix.COMPACT, shares=shares)
        assert [dump_task(task) for task in tasks] == lines


def test_shares_of_splits_and_hazards(tasks: list[Task]):
    assert Counter(task.split for task in tasks) == {"train": 800, "validation": 100, "test": 100}
    tags = Counter(tag for task in tasks for tag in task.tags)
    assert 0.30 < tags["hidden_hazard"] / len(tasks) < 0.45
    assert 0.15 < tags["open_hazard"] / len(tasks) < 0.25
    assert 0.4 < tags["hidden_hazard"] / (tags["hidden_hazard"] + tags["hazard_absent"]) < 0.6
    assert len({family for family in tags if family.startswith("family:")}) == len(COMPACT_FAMILIES)
    assert len({api for task in tasks for api in task.classes}) == 6


def test_a_careless_call_is_stored_exactly_where_a_hazard_is_present(tasks: list[Task]):
    for task in tasks:
        present = bool({"hidden_hazard", "open_hazard"} & set(task.tags))
        assert bool(task.careless) == present == any(tag.startswith("hazard:") for tag in task.tags)


def test_prompts_are_short_and_do_not_give_the_hazard_away(tasks: list[Task]):
    offered: dict[bool, list[int]] = defaultdict(list)
    for task in tasks:
        assert all(len(str(turn.messages[0]["content"]).split()) <= 30 for turn in task.turns)
        assert all(len(message) == 1 for turn in task.turns for message in turn.reference)
        assert len(set(task.tools)) == len(task.tools) <= 10
        assert set(task.tools) <= set(tool_names(task.classes[0]))
        assert {call.name for turn in task.turns for call in turn.calls} <= set(task.tools)
        if not {"open_hazard"} & set(task.tags) and {"hidden_hazard", "hazard_absent"} & set(task.tags):
            offered[bool(task.careless)].append(len(task.tools))
    with_hazard, without = (sum(sizes) / len(sizes) for sizes in (offered[True], offered[False]))
    assert abs(with_hazard - without) < 0.3


def test_avoidable_scenarios_are_those_where_playing_safe_is_always_right(tasks: list[Task]):
    avoidable = {task.tags[0] for task in tasks if "avoidable" in task.tags}
    hidden = {task.tags[0] for task in tasks if {"hidden_hazard", "hazard_absent"} & set(task.tags)}
    logins = {"list_tickets", "follow", "post_tweet", "comment", "deposit", "buy_signed_out"}
    assert avoidable == {f"family:{name}" for name in logins}
    assert len(avoidable) < len(hidden) / 3


def test_a_task_file_gives_back_what_was_proven(tmp_path: Path, tasks: list[Task]):
    save_tasks(tasks[:60], tmp_path / "tasks.jsonl")
    loaded = load_tasks(tmp_path / "tasks.jsonl")
    assert loaded == tasks[:60]
    for task, stored in zip(tasks, loaded, strict=False):
        prove(stored, BFCLEnvironment())
        played = [play(BFCLEnvironment(), each, reference_script(each)) for each in (task, stored)]
        assert played[0] == played[1]


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_no_division_are_refused(shares: tuple[float, float, float]):
    with pytest.raises(UserError, match="split shares"):
        SplitShares(*shares)


def test_shares_can_leave_a_split_empty():
    tasks = generate_tasks(10, 0, BFCLEnvironment(), shares=SplitShares(0, 0, 1))
    assert {task.split for task in tasks} == {"test"}


def test_a_count_below_one_is_refused():
    with pytest.raises(UserError, match="count: found 0"):
        generate_tasks(0, 0, BFCLEnvironment())
