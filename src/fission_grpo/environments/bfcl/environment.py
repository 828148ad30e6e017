"""BFCL's multi-turn world as a forkable environment."""

import pickle
from collections.abc import Sequence
from typing import NamedTuple

from fission_grpo.environments.bfcl.call_text import read_call
from fission_grpo.environments.bfcl.executor import as_result, execute
from fission_grpo.environments.bfcl.package import response_checker
from fission_grpo.environments.bfcl.prepared import PreparedTask, digest, prepare, unpack
from fission_grpo.environments.bfcl.state import WorldState
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict


class _Saved(NamedTuple):
    """What a snapshot holds. `packed` makes it readable in a new process; `key` saves reading it in this one."""

    key: bytes
    packed: bytes
    turn: int
    turn_start: int
    results: tuple[bytes, ...]
    faults: tuple[str, ...]
    state: dict[str, bytes]


class BFCLEnvironment:
    """One episode on bfcl-eval's real API classes, judged turn by turn as bfcl-eval judges.

    At the end of a turn the public state of all instances must equal that of the reference, and the reference results of
    the turn must occur among the results so far. A turn with reference calls and no call of the model is wrong. A turn
    without reference calls is right whatever is called: that is the official rule, and what was called shows in the
    state check of the next turn.
    """

    def __init__(self) -> None:
        self._task: PreparedTask | None = None
        self._turn = 0
        self._turn_start = 0
        self._results: list[bytes] = []
        self._faults: list[str] = []
        self._state = WorldState({})

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools offered in the current turn (none before `reset`). Shared: not to be changed."""
        return self._task.tools(self._turn) if self._task is not None else ()

    def reset(self, task: Task) -> list[Message]:
        """Loads a task and returns the messages of its first turn.

        Raises:
            UserError: bfcl-eval is missing, or the task's classes, tools or configuration are wrong.
        """
        if not task.turns:
            raise UserError(f"task {task.id}, field turns: empty; at least one turn is needed")
        self._task = prepare(task)
        self._turn = self._turn_start = 0
        self._results = []
        self._faults = []
        self._state = WorldState(self._task.initial)
        return self._messages()

    def call(self, call: ToolCall) -> ToolResult:
        """Executes one call; tools that the task does not offer are unknown names."""
        text = execute(call, self._prepared.table, self._state)
        self._results.append(digest(text))
        return as_result(text)

    def call_text(self, text: str, instance_prefix: str) -> tuple[ToolCall, ToolResult]:
        """Executes a call given as text, such as `cd(folder='docs')`, as bfcl-eval does; see `call_text.read_call`.

        Returns:
            the call as read, and its result; of a text that is no call, the name that it begins with.
        """
        call = read_call(text, self._prepared.task.classes, instance_prefix)
        if isinstance(call, ToolCall):
            return call, self.call(call)
        self._results.append(digest(call))
        return ToolCall(text.partition("(")[0]), as_result(call)

    def next_user_turn(self) -> list[Message] | None:
        prepared = self._prepared
        if self._turn >= len(prepared.task.turns):
            return None
        self._faults.append(self._fault())
        self._turn += 1
        self._turn_start = len(self._results)
        return self._messages() if self._turn < len(prepared.task.turns) else None

    def snapshot(self) -> Snapshot:
        prepared = self._prepared
        saved = _Saved(
            prepared.key,
            prepared.packed,
            self._turn,
            self._turn_start,
            tuple(self._results),
            tuple(self._faults),
            self._state.packed(),
        )
        return Snapshot(pickle.dumps(tuple(saved), protocol=5))

    def restore(self, snapshot: Snapshot) -> None:
        saved = _read(snapshot)
        self._task = unpack(saved.key, saved.packed)
        self._turn, self._turn_start = saved.turn, saved.turn_start
        self._results, self._faults = list(saved.results), list(saved.faults)
        self._state = WorldState(saved.state)

    def verdict(self) -> Verdict:
        turns = tuple(not fault for fault in self._faults)
        finished = len(turns) == len(self._prepared.task.turns)
        detail = next((fault for fault in self._faults if fault), "" if finished else f"turn {self._turn} is still open")
        return Verdict(solved=finished and all(turns), turns=turns, detail=detail)

    def matches(self, target: Snapshot) -> bool:
        """Whether state and results of this turn are those of `target`.

        The current folder and its like count, too: later calls depend on them. Random generators do not: a lookup more
        than the reference made is no fault.
        """
        saved = _read(target)
        return (
            saved.key == self._prepared.key
            and saved.turn == self._turn
            and _contains(self._results[self._turn_start :], saved.results[saved.turn_start :])
            and self._state.equals(WorldState(saved.state), hidden=True)
        )

    def same_state(self, snapshot: Snapshot) -> bool:
        """Whether nothing at all differs from the snapshot's state, random generators included: from here the reference
        calls have exactly the results that they have from there."""
        saved = _read(snapshot)
        return saved.key == self._prepared.key and self._state.equals(WorldState(saved.state), hidden=True, generators=True)

    @property
    def _prepared(self) -> PreparedTask:
        if self._task is None:
            raise UserError("BFCLEnvironment: `reset(task)` or `restore(snapshot)` must come first")
        return self._task

    def _messages(self) -> list[Message]:
        return [dict(message) for message in self._prepared.task.turns[self._turn].messages]

    def _fault(self) -> str:
        """Why the current turn is wrong now; empty where it is right."""
        prepared, turn = self._prepared, self._turn
        if not prepared.task.turns[turn].calls:
            return ""
        if len(self._results) == self._turn_start:
            return f"turn {turn}: nothing was called"
        truth = prepared.truth[turn]
        if not self._state.equals(WorldState(truth.state)):
            return f"turn {turn}: the state differs from the reference"
        if not _contains(self._results, truth.results):
            return f"turn {turn}: a result of the reference is missing"
        return ""


def _read(snapshot: Snapshot) -> _Saved:
    return _Saved(*pickle.loads(snapshot.data))


def _contains(results: Sequence[bytes], reference: Sequence[bytes]) -> bool:
    return bool(response_checker()(list(results), list(reference), 0)["valid"])
