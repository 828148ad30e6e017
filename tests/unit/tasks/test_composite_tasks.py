"""The benchmark mix: the benchmark's shape, its four categories, and nothing but what was proven."""

from collections import Counter
from dataclasses import replace

import pytest

from fission_grpo.environments.bfcl import BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.tools import class_tools
from fission_grpo.tasks.catalogue import ADDED_TOOLS_MESSAGE, DOCUMENTATION, tool_names
from fission_grpo.tasks.categories import REPLACEABLE
from fission_grpo.tasks.draft import Family
from fission_grpo.tasks.empty_turns import prove_empty_turns
from fission_grpo.tasks.families import BENCHMARK_FAMILIES
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.proof import Disproof, careless_results, play, prove, prove_mirror, reference_script
from fission_grpo.tasks.task import Task


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return generate_tasks(400, 4, BFCLEnvironment(), shares=SplitShares(0.5, 0.0, 0.5))


def of_category(tasks: list[Task], category: str) -> list[Task]:
    chosen = [task for task in tasks if f"category:{category}" in task.tags]
    assert len(chosen) > len(tasks) / 6
    return chosen


@pytest.mark.parametrize("family", BENCHMARK_FAMILIES, ids=[family.name for family in BENCHMARK_FAMILIES])
def test_every_family_can_stand_in_a_composed_task(family: Family):
    other = "TravelAPI" if family.api != "TravelAPI" else "TicketAPI"
    partners = [each for each in BENCHMARK_FAMILIES if each.api == other and each.kind == "plain" and not each.owns]
    tasks = generate_tasks(6, 1, BFCLEnvironment(), families=[family, *partners])
    playing = [task for task in tasks if f"family:{family.name}" in task.tags]
    assert playing
    if family.kind == "open":
        assert all("open_hazard" in task.tags and careless_results(task, BFCLEnvironment()) for task in playing)


def test_the_shape_is_the_benchmarks(tasks: list[Task]):
    assert {api for task in tasks for api in task.classes} == set(DOCUMENTATION)
    assert Counter(len(task.classes) for task in tasks).keys() == {1, 2}
    assert {len(task.turns) for task in tasks} <= set(range(2, 9))
    assert not any(task.tools for task in tasks)
    assert len({task.id for task in tasks}) == len({str((task.turns, task.config)) for task in tasks}) == len(tasks)
    assert sum(bool(task.careless) for task in tasks) > len(tasks) / 2
    assert {tag for task in tasks for tag in task.tags if "hazard" in tag} >= {
        "hidden_hazard",
        "open_hazard",
        "hazard_absent",
    }


def test_what_was_written_holds_when_it_is_proven_again(tasks: list[Task]):
    for task in tasks[::5]:
        prove(task, BFCLEnvironment())
        prove_empty_turns(task, BFCLEnvironment())


def test_a_withheld_tool_is_offered_late_and_needed_at_once(tasks: list[Task]):
    environment = BFCLEnvironment()
    for task in of_category(tasks, "miss_func"):
        (late,) = (index for index, turn in enumerate(task.turns) if turn.new_tools)
        (tool,) = task.turns[late].new_tools
        assert [message["content"] for message in task.turns[late].messages] == [ADDED_TOOLS_MESSAGE]
        assert not task.turns[late - 1].calls
        assert tool not in REPLACEABLE
        assert tool in {call.name for call in task.turns[late].calls}
        assert tool not in {call.name for turn in task.turns[:late] for call in turn.calls}
        environment.reset(task)
        complete = {each["function"]["name"] for api in task.classes for each in class_tools(api)}
        for index, turn in enumerate(task.turns):
            assert complete - {each["function"]["name"] for each in environment.tools} == ({tool} if index < late else set())
            for call in turn.calls:
                environment.call(call)
            environment.next_user_turn()
        without = [[call for call in calls if call.name != tool] for calls in reference_script(task)]
        assert not play(BFCLEnvironment(), task, without)[0]


def test_replaceable_tools_are_tools():
    assert {name for api in DOCUMENTATION for name in tool_names(api)} > REPLACEABLE


def test_a_value_left_out_comes_with_the_next_message(tasks: list[Task]):
    for task in of_category(tasks, "miss_param"):
        (asked,) = (index for index, turn in enumerate(task.turns) if not turn.calls)
        assert not any(turn.new_tools for turn in task.turns)
        # Said before, the value is no secret any more: the turn could have been served, and the proof must see that.
        first = task.turns[0]
        told = {"role": "user", "content": f"{first.messages[0]['content']} {task.turns[asked + 1].messages[0]['content']}"}
        turns = (replace(first, messages=(told,)), *task.turns[1:])
        with pytest.raises(Disproof, match="could be served"):
            prove_empty_turns(replace(task, turns=turns), BFCLEnvironment())


def test_long_context_is_the_benchmarks_flag(tasks: list[Task]):
    long = of_category(tasks, "long_context")
    assert [task.id for task in tasks if task.long_context] == [task.id for task in long]
    official = official_tasks("multi_turn_long_context")
    assert all(task.long_context for task in official)


def test_splits_of_one_seed_share_no_scenario_and_no_words(tasks: list[Task]):
    train, test = ([task for task in tasks if task.split == split] for split in ("train", "test"))
    assert len(train) == len(test) == 200
    assert {task.scenario for task in train}.isdisjoint(task.scenario for task in test)
    assert {str(task.turns) for task in train}.isdisjoint(str(task.turns) for task in test)


def test_unsound_composed_tasks_are_refused(tasks: list[Task]):
    environment = BFCLEnvironment()
    withheld = of_category(tasks, "miss_func")[0]
    offered = replace(withheld, turns=tuple(replace(turn, new_tools=()) for turn in withheld.turns))
    with pytest.raises(Disproof, match="could be served"):
        prove_empty_turns(offered, environment)
    with pytest.raises(Disproof, match="no turn follows"):
        prove_empty_turns(replace(withheld, turns=(replace(withheld.turns[0], reference=(), new_tools=()),)), environment)
    first, second = of_category(tasks, "base")[:2]
    with pytest.raises(Disproof, match="says something else"):
        prove_mirror(first, second, environment)


def test_the_default_is_the_benchmark_mix():
    assert generate_tasks(3, 0, BFCLEnvironment()) == generate_tasks(3, 0, BFCLEnvironment(), mix=Mix.BENCHMARK)
