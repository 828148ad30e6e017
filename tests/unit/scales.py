"""Tools and tasks of a scale: a `FunctionEnvironment` that several tests play in, here and in another process."""

import enum
from typing import Any, Literal

from fission_grpo.errors import InfrastructureError
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


def kinds(count: int, units: list[Unit], best: Unit | None = None) -> str:
    return f"{count!r} {units} {best}"


def leave() -> None:
    raise SystemExit


def fetch() -> str:
    raise InfrastructureError("the server is down")


def of_drawer(state: dict[str, float], item: str) -> float:
    return state[item]


def be_silent() -> None:
    raise ValueError


def best_unit() -> Unit:
    return Unit.LB


TOOLS = [weigh, total, kinds, leave, fetch, of_drawer, be_silent, best_unit]


class Pan:
    """An object without `__eq__`."""

    def __init__(self) -> None:
        self.things: list[str] = []


def put(state: Pan, thing: str) -> list[str]:
    state.things.append(thing)
    return state.things


def has_pear(state: dict[str, float], task: Task) -> bool:
    return "pear" in state


def of_config(task: Task) -> dict[str, float]:
    return dict(task.config)


def config_itself(task: Task) -> Any:
    return task.config


def unpicklable(task: Task) -> Any:
    return {"f": lambda: None}


def task(*turns: tuple[str, list[ToolCall]], **fields: Any) -> Task:
    return Task(
        id="scales",
        scenario="scales",
        turns=tuple(Turn(({"role": "user", "content": text},), tuple((call,) for call in calls)) for text, calls in turns),
        **fields,
    )


WEIGH = ToolCall("weigh", {"item": "apple", "weight": 2})
TASK = task(("Weigh the apple.", [WEIGH]), ("And the total?", [ToolCall("total")]))
