"""`FunctionEnvironment`: plain typed Python functions become a forkable environment."""

import copy
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fission_grpo.chat.schema import check_call, check_tools
from fission_grpo.environments.function_runner import FunctionRunner, Judge, LocalRunner, StateFactory
from fission_grpo.environments.function_tools import FunctionTool, function_tool
from fission_grpo.environments.isolated.runner import CallLimits, IsolatedRunner
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict

MAX_REFERENCES = 1024


class _World(NamedTuple):
    """Everything that changes in an episode. `task` is pickled once, at `reset`; `state` is packed in a snapshot."""

    task: bytes
    turn: int
    turn_start: int
    results: tuple[str, ...]
    faults: tuple[str, ...]
    state: Any


class _TurnReference(NamedTuple):
    """The state at the end of a turn, packed, and the results of its calls."""

    state: bytes
    results: tuple[str, ...]


class FunctionEnvironment:
    """Tools that are Python functions over one shared state.

    A function whose first parameter is named `state` receives the state and may change it in place; the parameter is not
    shown to the policy. What a function raises is the policy's error, as data: `Error: <message>`.

    >>> from fission_grpo.tasks.task import Turn
    >>> def deposit(state: dict, amount: int) -> int:
    ...     '''Pays money in.'''
    ...     state["balance"] += amount
    ...     return state["balance"]
    >>> environment = FunctionEnvironment([deposit], state={"balance": 0})
    >>> _ = environment.reset(Task("t", "t", (Turn(({"role": "user", "content": "Pay in 5."},)),)))
    >>> environment.call(ToolCall("deposit", {"amount": 5})).content
    '5'

    Args:
        functions: with type hints on every parameter; docstrings in Google style explain the tool and its parameters.
        state: the initial state, or a function of the task that makes it; copied at every `reset`. Picklable.
        verdict: `(state, task) -> solved`, asked at the end of the last turn; earlier turns then count as right. By default
            every turn is compared with playing its reference: the state must be equal, the reference results must occur
            among the results so far, and where the reference calls something, so must the policy.
        isolated: run the functions, the state and the verdict in a process of their own, a fresh copy of it for every call
            (docs/own-tools.md). The functions must be importable from a module.
        limits: of a call that is isolated; one that dies or goes past them is an `InfrastructureError`.

    Raises:
        UserError: a function without type hints or with types that have no JSON form, or two of one name; or, isolated, one
            that another process cannot import.
    """

    def __init__(
        self,
        functions: Sequence[Callable[..., Any]],
        state: Any | StateFactory = None,
        verdict: Judge | None = None,
        *,
        isolated: bool = False,
        limits: CallLimits = CallLimits(),  # noqa: B008
    ) -> None:
        tools = _tools_of(tuple(functions))
        self._tools: dict[str, Tool] = {each.name: each.tool for each in tools}
        self._runner: FunctionRunner = (
            IsolatedRunner(functions, state, verdict, limits) if isolated else LocalRunner(tools, state, verdict)
        )
        self._judged = verdict is not None
        self._task: Task | None = None
        self._world = _World(b"", 0, 0, (), (), None)
        self._references: OrderedDict[bytes, list[_TurnReference]] = OrderedDict()

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools of the task (all functions where it names none), without those withheld until a later turn."""
        task = self._task
        if task is None:
            return list(self._tools.values())
        withheld = {name for later in task.turns[self._world.turn + 1 :] for name in later.new_tools}
        names = task.tools or tuple(self._tools)
        return [self._tools[name] for name in names if name not in withheld]

    def reset(self, task: Task) -> list[Message]:
        """Loads a task and returns the messages of its first turn.

        Raises:
            UserError: the task has no turns, names unknown tools, or its state cannot be pickled.
        """
        if not task.turns:
            raise UserError(f"task {task.id}, field turns: empty; at least one turn is needed")
        for name in task.tools:
            if name not in self._tools:
                raise UserError(f"task {task.id}, field tools: {name!r} is none of {', '.join(self._tools)}")
        self._task = task
        self._world = _World(pickle.dumps(task), 0, 0, (), (), self._runner.initial(task))
        return _messages(task, 0)

    def call(self, call: ToolCall) -> ToolResult:
        """Checks the arguments against the tool's schema and calls the function."""
        world = self._world
        if violation := check_call(call, self.tools):
            result, state = ToolResult(f"Error: {violation.detail}", is_error=True), world.state
        else:
            result, state = self._runner.call(world.state, call)
        self._world = world._replace(results=(*world.results, result.content), state=state)
        return result

    def next_user_turn(self) -> list[Message] | None:
        task, world = self._loaded, self._world
        if world.turn >= len(task.turns):
            return None
        self._world = world._replace(
            turn=world.turn + 1, turn_start=len(world.results), faults=(*world.faults, self._fault())
        )
        return _messages(task, self._world.turn) if self._world.turn < len(task.turns) else None

    def snapshot(self) -> Snapshot:
        """Everything but the functions: restore into an environment made of the same ones.

        Raises:
            UserError: the state cannot be pickled.
        """
        _ = self._loaded  # or there is nothing to be saved
        return Snapshot(pickle.dumps(self._world._replace(state=self._runner.pack(self._world.state)), protocol=5))

    def restore(self, snapshot: Snapshot) -> None:
        world: _World = pickle.loads(snapshot.data)
        if self._task is None or world.task != self._world.task:
            self._task = pickle.loads(world.task)
        self._world = world._replace(state=self._runner.unpack(world.state))

    def verdict(self) -> Verdict:
        faults = self._world.faults
        finished = len(faults) == len(self._loaded.turns)
        detail = next(filter(None, faults), "" if finished else f"turn {self._world.turn} is still open")
        return Verdict(finished and not any(faults), tuple(not fault for fault in faults), detail)

    def matches(self, target: Snapshot) -> bool:
        """Whether the state is equal to the target's and this turn's results contain those of the target's turn."""
        theirs: _World = pickle.loads(target.data)
        ours = self._world
        return (
            (ours.task, ours.turn) == (theirs.task, theirs.turn)
            and _contains(ours.results[ours.turn_start :], theirs.results[theirs.turn_start :])
            and self._runner.equal(ours.state, theirs.state)
        )

    def same_state(self, snapshot: Snapshot) -> bool:
        """Whether the state is equal to the snapshot's."""
        return self._runner.equal(self._world.state, pickle.loads(snapshot.data).state)

    @property
    def _loaded(self) -> Task:
        if self._task is None:
            raise UserError("FunctionEnvironment: `reset(task)` or `restore(snapshot)` must come first")
        return self._task

    def _fault(self) -> str:
        """Why the current turn is wrong now; empty where it is right."""
        task, world = self._loaded, self._world
        if self._judged:
            last = world.turn == len(task.turns) - 1
            return "the verdict function says no" if last and not self._runner.judge(world.state, task) else ""
        reference = self._reference()[world.turn]
        if reference.results and len(world.results) == world.turn_start:
            return f"turn {world.turn}: nothing was called"
        if not self._runner.equal(world.state, reference.state):
            return f"turn {world.turn}: the state differs from the reference"
        if not _contains(world.results, reference.results):
            return f"turn {world.turn}: a result of the reference is missing"
        return ""

    def _reference(self) -> list[_TurnReference]:
        """The reference of every turn, played once a task."""
        key = self._world.task
        if key not in self._references:
            self._references[key] = self._play_reference()
            if len(self._references) > MAX_REFERENCES:
                self._references.popitem(last=False)
        return self._references[key]

    def _play_reference(self) -> list[_TurnReference]:
        player = copy.copy(self)
        player.reset(self._loaded)
        turns: list[_TurnReference] = []
        for turn in self._loaded.turns:
            results = tuple(player.call(call).content for call in turn.calls)
            turns.append(_TurnReference(self._runner.pack(player._world.state), results))
            player._world = player._world._replace(turn=player._world.turn + 1)  # not judged: by this very reference
        return turns


@lru_cache(maxsize=64)  # every episode makes an environment
def _tools_of(functions: tuple[Callable[..., Any], ...]) -> tuple[FunctionTool, ...]:
    tools = tuple(map(function_tool, functions))
    check_tools([each.tool for each in tools])
    return tools


def _messages(task: Task, turn: int) -> list[Message]:
    return [dict(message) for message in task.turns[turn].messages]


def _contains(results: Sequence[str], reference: Sequence[str]) -> bool:
    return not Counter(reference) - Counter(results)
