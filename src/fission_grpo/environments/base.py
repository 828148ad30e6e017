"""The Environment protocol: seven small methods, and everything that fission needs from a live world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict


@runtime_checkable
class Environment(Protocol):
    """A world that an episode is played in. One instance plays one episode at a time; fork by snapshot and restore."""

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools offered now. They may change between user turns."""
        ...

    def reset(self, task: Task) -> list[Message]:
        """Loads the task and returns the opening messages (system text, if any, and the first user turn)."""
        ...

    def call(self, call: ToolCall) -> ToolResult:
        """Executes one call. A mistake of the policy is a result with `is_error`; nothing of its text is evaluated.

        Raises:
            InfrastructureError: the environment itself failed.
        """
        ...

    def next_user_turn(self) -> list[Message] | None:
        """Closes the current user turn (it is judged now) and returns the next one, or None at the end of the episode."""
        ...

    def snapshot(self) -> Snapshot:
        """The whole state, including which turn is current and how the earlier ones were judged."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot. The instance needs no `reset` before; the snapshot stays usable for siblings."""
        ...

    def verdict(self) -> Verdict:
        """The judgement so far; `solved` is meaningful once `next_user_turn` returned None (open turns count as wrong)."""
        ...


@runtime_checkable
class ComparableEnvironment(Environment, Protocol):
    """An environment that can tell whether it has reached a target state (METHOD 6, recovery target `state`)."""

    def matches(self, target: Snapshot) -> bool:
        """Whether the current state equals the target's and this turn's results contain the target's results of the turn."""
        ...

    def same_state(self, snapshot: Snapshot) -> bool:
        """Whether the state (results left aside) equals the snapshot's."""
        ...


@dataclass(frozen=True)
class Reply:
    """What answers one assistant message.

    Attributes:
        results: one per call, in order.
        messages: what the environment's user says to it; none where calls were made.
        over: the episode ends here.
    """

    results: tuple[ToolResult, ...]
    messages: tuple[Message, ...]
    over: bool


@runtime_checkable
class ConversationalEnvironment(Protocol):
    """What an environment has besides whose user answers what the assistant says. The whole conversation is one turn.

    It stands alone so that an instance may be asked for it before `reset`: such a check reads all properties of a protocol.
    """

    def respond(self, text: str, calls: Sequence[ToolCall]) -> Reply:
        """Plays one assistant message: executes all its calls, or lets the user answer its text.

        Raises:
            InfrastructureError: the environment itself failed, or whoever plays the user.
        """
        ...
