"""FunctionEnvironment: schemas from functions, errors as data, state by snapshot, verdict by reference or by callback."""

import enum
from typing import Any, Literal

import pytest

from fission_grpo.environments.base import ComparableEnvironment
from fission_grpo.environments.function_tools import function_tool
from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.environments.replay import replay_reference
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall


class Unit(enum.Enum):
    KG = "kg"
    LB = "lb"


def weigh(
    state: dict[str, float],
    item: str,
    weight: float,
    unit: Unit = Unit.KG,
    marks: list[int] | None = None,
    mode: Literal["add", "set"] = "add",
    extra: dict[str, bool] = {},  # noqa: B006
) -> float:
    """Weighs an item and writes it down.

    Longer text.

    Args:
        item: its name,
            as printed on it.
        weight (float): in units.
        unit: of the weight.

    Returns:
        The weight in kilograms.
    """
    if weight < 0:
        raise ValueError(f"weight must not be negative, found {weight}")
    assert isinstance(unit, Unit)
    state[item] = weight if unit is Unit.KG else weight * 0.45
    return state[item]


def total(state: dict[str, float]) -> float:
    """Sums up."""
    return sum(state.values())


def task(*turns: tuple[str, list[ToolCall]], **fields: Any) -> Task:
    return Task(
        id="scales",
        scenario="scales",
        turns=tuple(Turn(({"role": "user", "content": text},), tuple((call,) for call in calls)) for text, calls in turns),
        **fields,
    )


WEIGH = ToolCall("weigh", {"item": "apple", "weight": 2})
TASK = task(("Weigh the apple.", [WEIGH]), ("And the total?", [ToolCall("total")]))


def started(**options: Any) -> FunctionEnvironment:
    environment = FunctionEnvironment([weigh, total], state={}, **options)
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


def test_arguments_become_what_the_hints_say() -> None:
    def kinds(count: int, units: list[Unit], best: Unit | None = None) -> str:
        return f"{count!r} {units} {best}"

    environment = FunctionEnvironment([kinds])
    environment.reset(TASK)
    result = environment.call(ToolCall("kinds", {"count": 2.0, "units": ["kg"], "best": "lb"}))
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
        (ToolCall("leave", {}), "Error:"),
    ],
)
def test_mistakes_of_the_policy_are_data(call: ToolCall, words: str) -> None:
    def leave() -> None:
        raise SystemExit

    environment = FunctionEnvironment([weigh, leave], state={})
    environment.reset(TASK)
    result = environment.call(call)
    assert result.is_error
    assert words in result.content


def test_infrastructure_failures_pass_through() -> None:
    def fetch() -> str:
        raise InfrastructureError("the server is down")

    environment = FunctionEnvironment([fetch])
    environment.reset(TASK)
    with pytest.raises(InfrastructureError):
        environment.call(ToolCall("fetch"))


def test_the_reference_is_solved_and_less_is_not() -> None:
    environment = FunctionEnvironment([weigh, total], state={})
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


def test_a_callback_judges_the_end() -> None:
    for state, solved in (({"pear": 1.0}, True), ({}, False)):
        environment = FunctionEnvironment([total], state=state, verdict=lambda state, task: "pear" in state)
        environment.reset(TASK)
        environment.next_user_turn()
        environment.next_user_turn()
        assert environment.verdict().solved is solved


def test_siblings_share_nothing() -> None:
    parent = started()
    snapshot = parent.snapshot()
    parent.call(WEIGH)
    child, other = FunctionEnvironment([weigh, total]), FunctionEnvironment([weigh, total])
    child.restore(snapshot)
    other.restore(snapshot)
    child.call(ToolCall("weigh", {"item": "pear", "weight": 5}))
    assert [each.call(ToolCall("total")).content for each in (parent, child, other)] == ["2", "5", "0"]
    assert other.same_state(snapshot)
    assert not child.same_state(snapshot)
    assert not child.matches(parent.snapshot())
    other.call(WEIGH)
    assert not other.matches(parent.snapshot()), "the target's total is missing"


def test_every_reset_starts_from_the_initial_state() -> None:
    environment = started()
    environment.call(WEIGH)
    environment.reset(TASK)
    assert environment.call(ToolCall("total")).content == "0"


def test_state_can_come_from_the_task() -> None:
    environment = FunctionEnvironment([total], state=lambda task: dict(task.config))
    environment.reset(task(("Sum up.", []), config={"a": 1, "b": 2}))
    assert environment.call(ToolCall("total")).content == "3"


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
    environment = FunctionEnvironment([total], state=lambda task: {"f": lambda: None})
    environment.reset(TASK)
    with pytest.raises(UserError, match="pickled"):
        environment.snapshot()
