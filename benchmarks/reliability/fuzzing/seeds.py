"""Real tasks, calls and tools of the benchmarks, from which mutations start."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fission_grpo.environments.bfcl import BFCLEnvironment, official_tasks
from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.environments.tau2 import Tau2Environment, tau2_tasks
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import Tool, ToolCall


@dataclass(frozen=True)
class Seeds:
    """Tasks of one environment, what their references call, and the tools of the first task.

    Attributes:
        calls: reference calls, without repetitions.
    """

    tasks: Sequence[Task]
    calls: Sequence[ToolCall]
    tools: Sequence[Tool]


@cache
def bfcl_seeds() -> Seeds:
    tasks = [*official_tasks("multi_turn_base"), *official_tasks("multi_turn_long_context")[::10]]
    environment = BFCLEnvironment()
    offered: dict[str, Tool] = {}
    for task in tasks[:200:8]:
        environment.reset(task)
        offered |= {tool["function"]["name"]: tool for tool in environment.tools}
    return Seeds(tasks, _calls(tasks), list(offered.values()))


@cache
def tau2_seeds(domain: str) -> Seeds:
    tasks = tau2_tasks(domain, solo=domain == "telecom")[:40]
    environment = Tau2Environment()
    environment.reset(tasks[0])
    return Seeds(tasks, _calls(tasks), list(environment.tools))


def deposit(state: dict[str, float], amount: int, account: str = "main") -> float:
    """Pays money in."""
    state[account] = state.get(account, 0) + amount
    return state[account]


def rename(state: dict[str, float], names: list[str], prefix: str | None = None) -> list[str]:
    """Names accounts."""
    return [f"{prefix}{name}" for name in names if name in state]


def limits(state: dict[str, float], bounds: dict[str, int]) -> dict[str, int]:
    """Sets a bound for each account."""
    return {name: bound for name, bound in bounds.items() if name in state}


def function_environment() -> FunctionEnvironment:
    """Three functions over a dictionary of accounts."""
    return FunctionEnvironment([deposit, rename, limits], state={"main": 0.0})


@cache
def function_seeds() -> Seeds:
    calls = (
        ToolCall("deposit", {"amount": 5, "account": "main"}),
        ToolCall("rename", {"names": ["main"], "prefix": "a"}),
        ToolCall("limits", {"bounds": {"main": 5}}),
    )
    turn = Turn(({"role": "user", "content": "Pay in 5, then name and bound the account."},), (calls,))
    return Seeds([Task("bank-0", "bank", (turn, turn), environment="functions")], calls, list(function_environment().tools))


def _calls(tasks: Sequence[Task]) -> list[ToolCall]:
    found = {repr(call): call for task in tasks for turn in task.turns for call in turn.calls}
    return list(found.values())
