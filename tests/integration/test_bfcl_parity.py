"""Our BFCL executor and verdict against bfcl-eval's own, on all 800 official tasks.

The official executor evaluates text, shares data between instances and keeps them in a module; `official_results` undoes
what one task leaves behind, so that every task meets it fresh.
"""

import copy
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from fission_grpo.environments.bfcl import CATEGORIES, BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.environments.replay import replay_reference
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall

SEED = 20261122
VALUES: list[Any] = ["", "abc", 0, -1, 3, 1.5, 1234.5, True, None, [], ["a", 1], {}, {"a": [1, {"b": None}]}, "é\n'\""]
NAMES = ["foo", "_load_scenario", "__class__", "kill", "run", "os.kill", "cd.x", "a.b.c", "ls-l", "root"]

UTILS = package_module("eval_checker.multi_turn_eval.multi_turn_utils")
CHECKER = package_module("eval_checker.multi_turn_eval.multi_turn_checker")
LONG_CONTEXT = package_module("eval_checker.multi_turn_eval.func_source_code.long_context")
POSTING = package_module("eval_checker.multi_turn_eval.func_source_code.posting_api")


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task for category in CATEGORIES for task in official_tasks(category)]


def text(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


@contextmanager
def fresh_official_state() -> Generator[None]:
    shared = [LONG_CONTEXT.CREDIT_CARD_EXTENSION, LONG_CONTEXT.BOOKING_RECORD_EXTENSION]
    saved = copy.deepcopy(shared)
    names = set(vars(UTILS))
    POSTING.TwitterAPI.post_tweet.__defaults__ = ([], [])
    try:
        yield
    finally:
        for live, original in zip(shared, saved, strict=True):
            live.clear()
            live.update(original)
        POSTING.TwitterAPI.post_tweet.__defaults__ = ([], [])
        for name in vars(UTILS).keys() - names:
            delattr(UTILS, name)


def official_results(task: Task, calls: Sequence[ToolCall]) -> list[str]:
    with fresh_official_state():
        results, _ = UTILS.execute_multi_turn_func_call(
            [text(call) for call in calls], task.config, list(task.classes), "model", task.id, task.long_context
        )
    return results


def our_results(task: Task, calls: Sequence[ToolCall]) -> list[str]:
    environment = BFCLEnvironment()
    environment.reset(task)
    return [environment.call(call).content for call in calls]


def reference(task: Task) -> list[ToolCall]:
    return [call for turn in task.turns for call in turn.calls]


def corrupted(generator: random.Random, call: ToolCall) -> ToolCall:
    """A call as a careless policy might write it: something missing, superfluous, misnamed or of the wrong type."""
    name, arguments = call.name, dict(call.arguments)
    key = generator.choice(sorted(arguments)) if arguments else None
    kind = generator.choice(["missing", "extra", "value", "name", "key", "empty", "wrapped"])
    if kind == "extra":
        arguments["extra"] = generator.choice(VALUES)
    elif kind == "name":
        name = generator.choice(NAMES)
    elif kind == "empty":
        arguments = {}
    elif key is None:
        name += "s"
    elif kind == "missing":
        del arguments[key]
    elif kind == "value":
        arguments[key] = generator.choice(VALUES)
    elif kind == "key":
        arguments["my_" + key] = arguments.pop(key)
    else:
        arguments[key] = str(arguments[key]) if isinstance(arguments[key], list) else [arguments[key]]
    return ToolCall(name, arguments)


def test_there_are_800_tasks(tasks: list[Task]) -> None:
    assert len(tasks) == 800
    assert len({task.scenario for task in tasks}) == 200


def test_reference_calls_answer_as_officially(tasks: list[Task]) -> None:
    for task in tasks:
        assert our_results(task, reference(task)) == official_results(task, reference(task)), task.id


def test_corrupted_calls_answer_as_officially(tasks: list[Task]) -> None:
    generator = random.Random(SEED)
    for task in tasks:
        calls = [each for call in reference(task) for each in (corrupted(generator, call), corrupted(generator, call), call)]
        ours, theirs = our_results(task, calls), official_results(task, calls)
        for call, our_text, their_text in zip(calls, ours, theirs, strict=True):
            assert our_text == their_text, (task.id, call)


def test_references_are_solved(tasks: list[Task]) -> None:
    environment = BFCLEnvironment()
    for task in tasks:
        replay_reference(environment, task, len(task.turns) - 1, len(task.turns[-1].reference))
        assert environment.next_user_turn() is None
        assert environment.verdict().solved, (task.id, environment.verdict().detail)


def test_verdicts_of_corrupted_plays_are_the_official_ones(tasks: list[Task]) -> None:
    generator = random.Random(SEED)
    verdicts: list[bool] = []
    for task in generator.sample(tasks, 200):
        plays = careless_play(generator, task)
        verdicts.append(our_verdict(task, plays))
        assert verdicts[-1] == official_verdict(task, plays), task.id
    assert 40 < sum(verdicts) < 160, "the sample must hold both solved and failed plays"


def careless_play(generator: random.Random, task: Task) -> list[list[ToolCall]]:
    """The reference with one change: a call left out, repeated, corrupted, moved to the next turn, or a turn left empty."""
    plays = [list(turn.calls) for turn in task.turns]
    turn = generator.choice([index for index, calls in enumerate(plays) if calls])
    index = generator.randrange(len(plays[turn]))
    kind = generator.choice(["omitted", "repeated", "corrupted", "early", "empty turn", "error first"])
    if kind == "omitted":
        del plays[turn][index]
    elif kind == "repeated":
        plays[turn].insert(index, plays[turn][index])
    elif kind == "corrupted":
        plays[turn][index] = corrupted(generator, plays[turn][index])
    elif kind == "early" and turn > 0:
        plays[turn - 1].append(plays[turn].pop(0))
    elif kind == "empty turn":
        plays[turn] = []
    else:
        plays[turn].insert(index, ToolCall("foo"))
    return plays


def test_bfcl_evals_own_checker_confirms_the_proofs_of_generated_tasks():
    generated = generate_tasks(60, 8, BFCLEnvironment(), mix=Mix.BENCHMARK, shares=SplitShares(1, 0, 0))
    assert {task.long_context for task in generated} == {True, False}
    for number, task in enumerate(generated):
        # bfcl-eval reads the category off the id.
        task = replace(task, id=f"multi_turn_{'long_context' if task.long_context else 'base'}_{number}")
        script = [list(turn.calls) for turn in task.turns]
        assert official_verdict(task, script), task
        for turn, calls in enumerate(script):
            for step in range(len(calls)):
                shorter = [
                    [*calls[:step], *calls[step + 1 :]] if index == turn else each for index, each in enumerate(script)
                ]
                assert not official_verdict(task, shorter), (task, turn, step)


def our_verdict(task: Task, plays: list[list[ToolCall]]) -> bool:
    environment = BFCLEnvironment()
    environment.reset(task)
    for calls in plays:
        for call in calls:
            environment.call(call)
        environment.next_user_turn()
    return environment.verdict().solved


def official_verdict(task: Task, plays: list[list[ToolCall]]) -> bool:
    entry = {"id": task.id, "initial_config": task.config, "involved_classes": list(task.classes)}
    steps = [[[text(call)] for call in calls] for calls in plays]
    truth = [[text(call) for call in turn.calls] for turn in task.turns]
    with fresh_official_state():
        return CHECKER.multi_turn_checker(steps, truth, entry, task.id.rsplit("_", 1)[0], "model")["valid"]
