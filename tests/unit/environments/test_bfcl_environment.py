"""BFCLEnvironment: siblings are isolated, snapshots travel, verdicts and state comparisons mean what they say."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fission_grpo.chat.schema import check_call, check_tools
from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.environments.bfcl import CATEGORIES, BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.package import CLASSES
from fission_grpo.environments.bfcl.tools import class_tools
from fission_grpo.environments.registry import make_environment
from fission_grpo.environments.replay import replay_reference
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import Snapshot, ToolCall

MAKE = ToolCall("mkdir", {"dir_name": "notes"})
ENTER = ToolCall("cd", {"folder": "notes"})
TOUCH = ToolCall("touch", {"file_name": "a.txt"})
TASK = Task(
    id="notes",
    scenario="notes",
    classes=("GorillaFileSystem", "MathAPI"),
    config={"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}},
    turns=(
        Turn(({"role": "user", "content": "Make a folder for notes and go there."},), ((MAKE,), (ENTER,))),
        Turn(({"role": "user", "content": "Thanks!"},)),
        Turn(({"role": "user", "content": "Add a.txt."},), ((TOUCH,),)),
    ),
)


def started(task: Task = TASK) -> BFCLEnvironment:
    environment = BFCLEnvironment()
    environment.reset(task)
    return environment


def test_it_is_registered_and_comparable() -> None:
    assert isinstance(make_environment("bfcl"), ComparableEnvironment)


def test_the_reference_is_solved() -> None:
    environment = BFCLEnvironment()
    dialogue = replay_reference(environment, TASK, 2, 1)
    assert [message["role"] for message in dialogue] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant"),
        *("user", "assistant"),
        *("user", "assistant", "tool"),
    ]
    assert not environment.verdict().solved, "the last turn is still open"
    assert environment.next_user_turn() is None
    assert environment.verdict().solved
    assert environment.verdict().turns == (True, True, True)
    assert environment.next_user_turn() is None
    assert environment.verdict().turns == (True, True, True), "asking again judges nothing twice"


@pytest.mark.parametrize(
    ("plays", "turns"),
    [
        ([[], [], [TOUCH]], (False, True, False)),
        ([[MAKE, ENTER], [], []], (True, True, False)),
        ([[MAKE], [ENTER], [TOUCH]], (False, True, True)),
        ([[MAKE, ENTER], [TOUCH], []], (True, True, False)),
        ([[MAKE, MAKE, ENTER], [], [TOUCH]], (True, True, True)),
    ],
)
def test_turns_are_judged_one_by_one(plays: list[list[ToolCall]], turns: tuple[bool, ...]) -> None:
    environment = started()
    for calls in plays:
        for call in calls:
            environment.call(call)
        environment.next_user_turn()
    assert environment.verdict().turns == turns
    assert environment.verdict().solved == all(turns)
    assert bool(environment.verdict().detail) != all(turns)


def test_state_comparison_sees_the_current_folder() -> None:
    environment = started()
    environment.call(MAKE)
    before = environment.snapshot()
    environment.call(ToolCall("cd", {"folder": "nowhere"}))
    assert environment.same_state(before), "a failed call changed nothing"
    environment.call(ENTER)
    assert not environment.same_state(before)


def test_matching_a_target_needs_state_and_results() -> None:
    target = started()
    target.call(MAKE)
    target.call(ENTER)
    environment = started()
    environment.call(MAKE)
    assert not environment.matches(target.snapshot())
    environment.call(ToolCall("pwd"))
    environment.call(ENTER)
    assert environment.matches(target.snapshot()), "further results do no harm"
    environment.next_user_turn()
    assert not environment.matches(target.snapshot()), "another turn"


def test_the_same_calls_give_the_same_snapshot_at_any_time() -> None:
    """Files remember when they were written; a resumed run must have the same pool all the same."""
    snapshots: list[Snapshot] = []
    for _ in range(2):
        environment = started()
        environment.call(TOUCH)
        time.sleep(0.01)
        snapshots.append(environment.snapshot())
    assert snapshots[0] == snapshots[1]


def test_a_snapshot_is_read_in_a_new_process(tmp_path: Path) -> None:
    environment = started()
    environment.call(MAKE)
    (tmp_path / "snapshot").write_bytes(environment.snapshot().data)
    script = f"""
from pathlib import Path
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.types import Snapshot, ToolCall
environment = BFCLEnvironment()
environment.restore(Snapshot(Path({str(tmp_path / "snapshot")!r}).read_bytes()))
environment.call(ToolCall("cd", {{"folder": "notes"}}))
environment.next_user_turn()
print(environment.verdict().turns)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(True,)"


CALLS = [
    MAKE,
    ENTER,
    TOUCH,
    ToolCall("ls"),
    ToolCall("cd", {"folder": ".."}),
    ToolCall("echo", {"content": "x", "file_name": "a.txt"}),
    ToolCall("rm", {"file_name": "a.txt"}),
    ToolCall("post_tweet", {"content": "hi"}),
    ToolCall("mention", {"tweet_id": 0, "mentioned_usernames": ["@eve"]}),
    ToolCall("add_contact", {"user_name": "Eve"}),
    ToolCall("message_login", {"user_id": "USR001"}),
    ToolCall("send_message", {"receiver_id": "USR002", "message": "hi"}),
]
WORLD = replace(
    TASK,
    classes=("GorillaFileSystem", "TwitterAPI", "MessageAPI"),
    config={**TASK.config, "TwitterAPI": {"authenticated": True}},
)


class Siblings(RuleBasedStateMachine):
    """Any tree of forks: each environment answers as one that was reset and given the same calls, and no others."""

    @initialize()
    def start(self) -> None:
        self.environments = [started(WORLD)]
        self.histories: list[list[tuple[ToolCall, str]]] = [[]]
        self.saved: list[tuple[Any, list[tuple[ToolCall, str]]]] = []

    @rule(which=st.integers(0, 9), call=st.sampled_from(CALLS))
    def call(self, which: int, call: ToolCall) -> None:
        index = which % len(self.environments)
        self.histories[index].append((call, self.environments[index].call(call).content))

    @rule(which=st.integers(0, 9))
    def save(self, which: int) -> None:
        index = which % len(self.environments)
        self.saved.append((self.environments[index].snapshot(), list(self.histories[index])))

    @precondition(lambda self: self.saved)
    @rule(which=st.integers(0, 9), fork=st.booleans(), into=st.integers(0, 9))
    def restore(self, which: int, fork: bool, into: int) -> None:
        snapshot, history = self.saved[which % len(self.saved)]
        if fork or not self.environments:
            self.environments.append(BFCLEnvironment())
            self.histories.append([])
            into = len(self.environments) - 1
        index = into % len(self.environments)
        self.environments[index].restore(snapshot)
        self.histories[index] = list(history)
        assert self.environments[index].same_state(snapshot)

    @invariant()
    def every_history_replays(self) -> None:
        index = len(self.environments) - 1
        alone = started(WORLD)
        for call, answer in self.histories[index]:
            assert alone.call(call).content == answer
        assert alone.same_state(self.environments[index].snapshot())


TestSiblings = Siblings.TestCase
TestSiblings.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_tools_are_json_schema() -> None:
    tools = [tool for name in CLASSES for tool in class_tools(name)]
    assert len(tools) == 128
    check_tools(tools)
    breaking = [
        (task.scenario, call.name)
        for task in official_tasks("multi_turn_base")
        for turn in task.turns
        for call in turn.calls
        if check_call(call, [tool for name in task.classes for tool in class_tools(name)])
    ]
    assert breaking == [("bfcl-173", "close_ticket")], "one official reference passes a string for an integer"


def test_only_the_tasks_tools_are_offered_and_known() -> None:
    environment = started(replace(TASK, tools=("cd", "mkdir", "touch")))
    assert [tool["function"]["name"] for tool in environment.tools] == ["cd", "mkdir", "touch"]
    assert environment.call(ToolCall("ls")).content == "Error during execution: name 'ls' is not defined"


def test_withheld_tools_come_with_their_turn() -> None:
    task = official_tasks("multi_turn_miss_func")[0]
    environment = started(task)
    offered: list[bool] = []
    messages = None
    for _ in task.turns:
        offered.append("sort" in {tool["function"]["name"] for tool in environment.tools})
        messages = environment.next_user_turn() if len(offered) < 4 else messages
    assert offered[:4] == [False, False, False, True]
    assert messages


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (replace(TASK, classes=()), ["notes", "classes", "GorillaFileSystem"]),
        (replace(TASK, classes=("Gorilla",)), ["'Gorilla'", "GorillaFileSystem"]),
        (replace(TASK, tools=("mkdirs",)), ["notes", "'mkdirs'"]),
        (replace(TASK, turns=()), ["notes", "turns"]),
        (replace(TASK, config={"GorillaFileSystem": {"root": {"home": {"type": "directory"}}}}), ["notes", "config"]),
    ],
)
def test_broken_tasks_are_the_users_errors(task: Task, words: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        BFCLEnvironment().reset(task)
    assert all(word in str(raised.value) for word in words)


def test_unknown_names_are_the_users_errors() -> None:
    with pytest.raises(UserError, match="'bfcl'"):
        make_environment("bfcll")
    with pytest.raises(UserError, match="multi_turn_base"):
        official_tasks("multi_turn")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="step 3"):
        replay_reference(BFCLEnvironment(), TASK, 0, 3)
    with pytest.raises(UserError, match="turn 3"):
        replay_reference(BFCLEnvironment(), TASK, 3, 0)
    assert len(CATEGORIES) == 4
