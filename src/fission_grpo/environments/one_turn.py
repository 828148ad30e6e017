"""An environment that is over when the user turn it is in is over: what comes later is neither played nor judged."""

from collections.abc import Sequence

from fission_grpo.environments.base import Environment
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict


class OneTurn:
    """Wraps an environment that is judged turn by turn. Once it is over, that turn is the last of its verdict."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @property
    def tools(self) -> Sequence[Tool]:
        return self._environment.tools

    def reset(self, task: Task) -> list[Message]:
        return self._environment.reset(task)

    def call(self, call: ToolCall) -> ToolResult:
        return self._environment.call(call)

    def next_user_turn(self) -> None:
        """The turn is judged; the next one is not played."""
        self._environment.next_user_turn()

    def snapshot(self) -> Snapshot:
        return self._environment.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        self._environment.restore(snapshot)

    def verdict(self) -> Verdict:
        return self._environment.verdict()
