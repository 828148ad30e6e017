"""What is done with a user's functions, state and final check: here, or (`isolated/`) in another process."""

import copy
import enum
import json
import pickle
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from fission_grpo.environments.function_tools import FunctionTool
from fission_grpo.errors import FissionError, UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall, ToolResult

StateFactory = Callable[[Task], Any]
Judge = Callable[[Any, Task], bool]


class FunctionRunner(Protocol):
    """Everything that runs a user's code. A state is whatever the runner makes of it: nobody else looks inside."""

    def initial(self, task: Task) -> Any:
        """A fresh state for a task."""
        ...

    def call(self, state: Any, call: ToolCall) -> tuple[ToolResult, Any]:
        """Calls a function whose arguments have passed its schema: the result, and the state after it.

        Raises:
            InfrastructureError: the function says so, or, in another process, died or took too long.
        """
        ...

    def judge(self, state: Any, task: Task) -> bool:
        """What the final check says."""
        ...

    def equal(self, ours: Any, theirs: bytes) -> bool:
        """Whether a state is equal to a packed one."""
        ...

    def pack(self, state: Any) -> bytes:
        """A state as bytes.

        Raises:
            UserError: it cannot be pickled.
        """
        ...

    def unpack(self, packed: bytes) -> Any:
        """The state that was packed, a new one each time."""
        ...


class LocalRunner:
    """Runs everything in this process, on live states.

    Args:
        initial: the initial state, or a function of the task that makes it; copied for every episode.
        judge: the final check, where there is one.
    """

    def __init__(self, tools: Iterable[FunctionTool], initial: Any | StateFactory, judge: Judge | None) -> None:
        self._tools = {each.name: each for each in tools}
        self._initial = initial
        self._judge = judge

    def initial(self, task: Task) -> Any:
        # A copy of what a function makes too: much of it may still be the task's own `config`.
        return copy.deepcopy(self._initial(task) if callable(self._initial) else self._initial)

    def call(self, state: Any, call: ToolCall) -> tuple[ToolResult, Any]:
        try:
            # A copy: functions may keep their arguments, and must not change the recorded call through them.
            value = self._tools[call.name](state, copy.deepcopy(call.arguments))
            return ToolResult(_rendered(value)), state
        except FissionError:
            raise
        except (Exception, SystemExit) as error:  # the policy's error is data, whatever the function raised
            return ToolResult(f"Error: {_told(error)}", is_error=True), state

    def judge(self, state: Any, task: Task) -> bool:
        assert self._judge is not None
        return bool(self._judge(state, task))

    def equal(self, ours: Any, theirs: bytes) -> bool:
        # Objects without `__eq__` are equal to themselves only; their pickles tell.
        return bool(ours == (other := self.unpack(theirs))) or pickle.dumps(ours) == pickle.dumps(other)

    def pack(self, state: Any) -> bytes:
        try:
            return pickle.dumps(state, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
            raise UserError(f"FunctionEnvironment: the state cannot be pickled ({error})") from error

    def unpack(self, packed: bytes) -> Any:
        return pickle.loads(packed)


def _told(error: BaseException) -> str:
    """What the policy reads of it; a `KeyError` alone says no more than the key."""
    text, name = str(error), type(error).__name__
    return f"{name}: {text}" if isinstance(error, KeyError) else text or name


def _rendered(value: Any) -> str:
    if isinstance(value, enum.Enum):
        value = value.value  # as the tool's schema names it
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)
