"""The proofs refuse tasks that do not hold what they promise."""

from dataclasses import replace
from typing import Any

import pytest

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.draft import call
from fission_grpo.tasks.proof import Disproof, careless_results, is_avoidable, prove, prove_twins
from fission_grpo.tasks.task import Careless, Task, Turn
from fission_grpo.types import ToolCall


def _disk(*, inside: bool) -> dict[str, Any]:
    held = {"talo.txt": {"type": "file", "content": "veka"}}
    folder = {"type": "directory", "contents": held if inside else {}}
    contents = {"docs": folder, **({} if inside else held)}
    return {"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": contents}}}}


SHOW = call("cat", file_name="talo.txt")
ENTER = call("cd", folder="docs")


def _task(
    *reference: ToolCall, inside: bool, careless: tuple[Careless, ...] = (), text: str = "Show talo.txt; it may be in docs."
) -> Task:
    return Task(
        id="show",
        scenario="show",
        turns=(Turn(({"role": "user", "content": text},), tuple((each,) for each in reference)),),
        classes=("GorillaFileSystem",),
        tools=("cat", "cd", "ls"),
        config=_disk(inside=inside),
        careless=careless,
    )


HAZARD = _task(ENTER, SHOW, inside=True, careless=(Careless(0, 0, SHOW),))
CLEAR = _task(SHOW, inside=False)


def test_sound_twins_are_accepted_and_the_error_is_the_environments():
    prove(HAZARD, BFCLEnvironment())
    prove(CLEAR, BFCLEnvironment())
    prove_twins(HAZARD, CLEAR, BFCLEnvironment())
    (result,) = careless_results(HAZARD, BFCLEnvironment())
    assert result.is_error and "No such file" in result.content
    assert not is_avoidable(HAZARD, CLEAR, BFCLEnvironment())


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (_task(SHOW, inside=True), "the reference errs"),
        (_task(call("cd", folder="docs/sub"), SHOW, inside=False), "the reference errs"),
        (replace(HAZARD, careless=(Careless(0, 0, call("ls")),)), "does not err"),
        (replace(HAZARD, careless=(Careless(0, 1, SHOW),)), "does not err"),
    ],
)
def test_unsound_tasks_are_refused(task: Task, reason: str):
    with pytest.raises(Disproof, match=reason):
        prove(task, BFCLEnvironment())


def test_a_reference_call_that_is_not_needed_is_refused():
    # The checker finds the second `cat` among the results of the first turn, so the turn is right without it.
    again = Turn(({"role": "user", "content": "Show it again."},), ((SHOW,), (call("ls"),)))
    with pytest.raises(Disproof, match="solved without"):
        prove(replace(CLEAR, turns=(*CLEAR.turns, again)), BFCLEnvironment())


@pytest.mark.parametrize(
    ("clear", "reason"),
    [
        (_task(SHOW, inside=False, text="Show talo.txt."), "says something else"),
        (replace(CLEAR, tools=("cat", "ls")), "other tools"),
        (_task(call("ls"), inside=False), "not the right call"),
    ],
)
def test_a_hazard_that_is_not_hidden_is_refused(clear: Task, reason: str):
    with pytest.raises(Disproof, match=reason):
        prove_twins(HAZARD, clear, BFCLEnvironment())
