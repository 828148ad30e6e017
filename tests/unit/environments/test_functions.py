"""FunctionEnvironment: schemas from functions, errors as data, state by snapshot, verdict by reference or by callback.

What does not look at functions alone is tested with the functions in this process and in one of their own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from scales import TASK, TOOLS, WEIGH, Pan, Unit, config_itself, has_pear, of_config, put, task, total, unpicklable, weigh

from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.environments.function_tools import function_tool
from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.environments.replay import replay_reference
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.types import ToolCall

Make = Callable[..., FunctionEnvironment]


@pytest.fixture(params=[False, True], ids=["here", "isolated"])
def make(request: pytest.FixtureRequest) -> Make:
    return partial(FunctionEnvironment, isolated=request.param)


def started(make: Make) -> FunctionEnvironment:
    environment = make(TOOLS, state={})
    environment.reset(TASK)
    return environment


def test_schema_comes_from_signature_and_docstring() -> None:
    function = function_tool(weigh).tool["function"]
    assert function["name"] == "weigh"
    assert function["description"] == "Weighs an item and writes it down.\n\nLonger text."
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "its name, as printed on it."},
            "weight": {"type": "number", "description": "in units."},
            "unit": {"type": "string", "enum": ["kg", "lb"], "default": "kg", "description": "of the weight."},
            "marks": {"type": ["array", "null"], "items": {"type": "integer"}, "default": None},
            "mode": {"type": "string", "enum": ["add", "set"], "default": "add"},
            "extra": {"type": "object", "additionalProperties": {"type": "boolean"}, "default": {}},
        },
        "required": ["item", "weight"],
    }


def test_arguments_become_what_the_hints_say(make: Make) -> None:
    result = started(make).call(ToolCall("kinds", {"count": 2.0, "units": ["kg"], "best": "lb"}))
    assert result.content == f"2 {[Unit.KG]} {Unit.LB}"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ToolCall("weigh", {"item": "apple", "weight": -1}), "Error: weight must not be negative, found -1"),
        (ToolCall("weigh", {"item": "apple", "weight": "2"}), "weight"),
        (ToolCall("weigh", {"item": "apple"}), "weight"),
        (ToolCall("weigh", {"item": "apple", "weight": 2, "unit": "stone"}), "unit"),
        (ToolCall("weigh", {"item": "apple", "weight": 2, "state": {}}), "state"),
        (ToolCall("__import__('os').system", {"command": "ls"}), "no tool"),
        (ToolCall("leave", {}), "Error: SystemExit"),
        (ToolCall("of_drawer", {"item": "milk"}), "Error: KeyError: 'milk'"),
        (ToolCall("be_silent", {}), "Error: ValueError"),
    ],
)
def test_mistakes_of_the_policy_are_data(make: Make, call: ToolCall, words: str) -> None:
    result = started(make).call(call)
    assert result.is_error
    assert words in result.content


def test_infrastructure_failures_pass_through(make: Make) -> None:
    with pytest.raises(InfrastructureError, match="the server is down"):
        started(make).call(ToolCall("fetch"))


def test_the_reference_is_solved_and_less_is_not(make: Make) -> None:
    environment = make(TOOLS, state={})
    assert isinstance(environment, ComparableEnvironment)
    replay_reference(environment, TASK, 1, 1)
    environment.next_user_turn()
    assert environment.verdict().solved

    environment.reset(TASK)
    environment.call(ToolCall("weigh", {"item": "apple", "weight": 3}))
    environment.next_user_turn()
    environment.call(ToolCall("total"))
    environment.next_user_turn()
    assert environment.verdict().turns == (False, False)
    assert "state" in environment.verdict().detail

    environment.reset(TASK)
    environment.call(WEIGH)
    environment.next_user_turn()
    environment.next_user_turn()
    assert environment.verdict().turns == (True, False), "nothing was called in the second turn"


def test_a_callback_judges_the_end(make: Make) -> None:
    for state, solved in (({"pear": 1.0}, True), ({}, False)):
        environment = make(TOOLS, state=state, verdict=has_pear)
        environment.reset(TASK)
        environment.next_user_turn()
        environment.next_user_turn()
        assert environment.verdict().solved is solved


def test_siblings_share_nothing(make: Make) -> None:
    parent = started(make)
    snapshot = parent.snapshot()
    parent.call(WEIGH)
    child, other = make(TOOLS), make(TOOLS)
    child.restore(snapshot)
    other.restore(snapshot)
    child.call(ToolCall("weigh", {"item": "pear", "weight": 5}))
    assert [each.call(ToolCall("total")).content for each in (parent, child, other)] == ["2", "5", "0"]
    assert other.same_state(snapshot)
    assert not child.same_state(snapshot)
    assert not child.matches(parent.snapshot())
    other.call(WEIGH)
    assert not other.matches(parent.snapshot()), "the target's total is missing"


def test_objects_without_eq_are_compared_by_what_they_hold(make: Make) -> None:
    environment = make([put], state=Pan())
    environment.reset(TASK)
    empty = environment.snapshot()
    assert environment.call(ToolCall("put", {"thing": "plum"})).content == '["plum"]'
    assert not environment.same_state(empty)
    full = environment.snapshot()
    environment.restore(empty)
    assert environment.same_state(empty)
    environment.call(ToolCall("put", {"thing": "plum"}))
    assert environment.same_state(full)
    assert environment.matches(full)


def test_every_reset_starts_from_the_initial_state(make: Make) -> None:
    environment = started(make)
    environment.call(WEIGH)
    environment.reset(TASK)
    assert environment.call(ToolCall("total")).content == "0"


def test_state_can_come_from_the_task(make: Make) -> None:
    environment = make([total], state=of_config)
    environment.reset(task(("Sum up.", []), config={"a": 1, "b": 2}))
    assert environment.call(ToolCall("total")).content == "3"


def test_a_state_that_is_the_tasks_own_is_copied(make: Make) -> None:
    environment = make(TOOLS, state=config_itself)
    weighing = task(("Weigh the apple.", [WEIGH]), config={"pear": 1.0})
    for _ in range(2):
        environment.reset(weighing)
        environment.call(WEIGH)
        environment.next_user_turn()
        assert environment.verdict().solved
    assert weighing.config == {"pear": 1.0}


def test_an_enum_is_returned_as_the_schema_names_it(make: Make) -> None:
    assert started(make).call(ToolCall("best_unit")).content == "lb"


async def waits() -> None: ...


def test_nobody_would_wait_for_a_coroutine() -> None:
    with pytest.raises(UserError, match=r"function waits: `async def` found"):
        FunctionEnvironment([waits])


def no_hint(amount) -> None: ...  # type: ignore[no-untyped-def]
def odd_hint(amount: complex) -> None: ...
def variadic(*amounts: int) -> None: ...
def int_keys(amounts: dict[int, str]) -> None: ...


@pytest.mark.parametrize("function", [no_hint, odd_hint, variadic, int_keys])
def test_functions_without_a_schema_are_the_users_errors(function: Any) -> None:
    with pytest.raises(UserError, match=rf"function {function.__name__}, parameter amount"):
        FunctionEnvironment([function])


def test_other_mistakes_of_the_user() -> None:
    with pytest.raises(UserError, match="total"):
        FunctionEnvironment([total, total])
    with pytest.raises(UserError, match="'totals'"):
        FunctionEnvironment([total]).reset(task(("Sum up.", []), tools=("totals",)))


def test_a_state_that_cannot_be_pickled_is_the_users_error(make: Make) -> None:
    environment = make([total], state=unpicklable)
    with pytest.raises(UserError, match="pickled"):  # when it is made, or when it is to be forked
        environment.reset(TASK)
        environment.snapshot()
