"""tau2's retail, airline and telecom as a forkable environment."""

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from fission_grpo.chat.parsing import without_thinking
from fission_grpo.environments.base import Reply
from fission_grpo.environments.tau2.conversation import DONE, STOP_TOKEN, Conversation, SavedConversation
from fission_grpo.environments.tau2.prepared import PreparedTask, prepare
from fission_grpo.environments.tau2.users import ScriptedUser, UserModel
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict

MAX_STEPS, MAX_ERRORS = 200, 10
"""tau2's published protocol."""


class _Saved(NamedTuple):
    task: bytes
    conversation: SavedConversation
    results: tuple[str, ...]


class Tau2Environment:
    """One conversation of tau2-bench, played by its `Orchestrator` and judged by its evaluator alone.

    A task is one turn: the user's words answer those of the agent's messages that call nothing (`respond`). Errors are what
    tau2 marks as such in answers to the agent; the user's own failed calls count towards tau2's limit of errors and are
    never shown. A conversation that tau2 ends early (too many steps or errors, nothing said) is unsolved; one in which the
    user model fails, or alone makes all of tau2's limit of errors, raises.

    Args:
        user: who plays the user; by default the script. Not asked in solo mode.
        max_steps: see `Conversation`, as is `max_errors`.
    """

    def __init__(self, user: UserModel | None = None, *, max_steps: int = MAX_STEPS, max_errors: int = MAX_ERRORS) -> None:
        self._user: UserModel = user or ScriptedUser()
        self._max_steps = max_steps
        self._max_errors = max_errors
        self._packed_task = b""
        self._conversation: Conversation | None = None
        self._results: list[str] = []
        self._verdict: Verdict | None = None

    @property
    def tools(self) -> Sequence[Tool]:
        """The agent's tools (none before `reset`); in solo mode the user's and `done` too. Shared: not to be changed."""
        return self._conversation.prepared.tools if self._conversation is not None else ()

    @property
    def conversation(self) -> Conversation:
        """The task in play, in tau2's types."""
        if self._conversation is None:
            raise UserError("Tau2Environment: `reset(task)` or `restore(snapshot)` must come first")
        return self._conversation

    def reset(self, task: Task) -> list[Message]:
        """Starts a task; returns tau2's system text, and without solo mode its greeting and what the user says first.

        Raises:
            UserError: tau2 is not installed as it must be, or has no such task.
            InfrastructureError: the user model failed.
        """
        conversation = self._begin(prepare(task), pickle.dumps(task, protocol=5))
        conversation.start()
        return [conversation.prepared.system, *_spoken(conversation.trajectory)]

    def respond(self, text: str, calls: Sequence[ToolCall]) -> Reply:
        """Plays one message of the agent. The user does not hear one with calls, but its text counts for the score."""
        conversation = self.conversation
        if conversation.over:
            return Reply((), (), over=True)
        start = len(conversation.trajectory)
        conversation.say(without_thinking(text), calls)
        added = conversation.trajectory[start + 1 :]
        answers = [message for message in added if message.role == "tool" and message.requestor == "assistant"]
        results = tuple(ToolResult(answer.content or "", is_error=answer.error) for answer in answers)
        self._results += [result.content for result in results]
        return Reply(results or tuple(map(_unexecuted, calls)), tuple(_spoken(added)), conversation.over)

    def call(self, call: ToolCall) -> ToolResult:
        """Plays a message with one call and nothing else."""
        reply = self.respond("", (call,))
        return reply.results[0] if reply.results else _unexecuted(call)

    def next_user_turn(self) -> None:
        """Ends the conversation as tau2 does at its limit of steps, where it is not over yet."""
        self.conversation.end("MAX_STEPS")

    def snapshot(self) -> Snapshot:
        saved = _Saved(self._packed_task, self.conversation.save(), tuple(self._results))
        return Snapshot(pickle.dumps(tuple(saved), protocol=5))

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on from a snapshot, with this instance's user model and limits."""
        saved = _read(snapshot)
        if self._conversation is None or saved.task != self._packed_task:
            self._begin(prepare(pickle.loads(saved.task)), saved.task)
        self.conversation.load(saved.conversation)
        self._results = list(saved.results)
        self._verdict = None

    def verdict(self) -> Verdict:
        """tau2's own; a conversation that is not over is unsolved."""
        if not self.conversation.over:
            return Verdict(False, (), "the conversation is not over")
        if self._verdict is None:
            self._verdict = self.conversation.verdict()
        return self._verdict

    def matches(self, target: Snapshot) -> bool:
        """Whether all databases are equal to the target's and the agent has seen all results that the target has seen."""
        saved = _read(target)
        return not Counter(saved.results) - Counter(self._results) and self._same_world(saved)

    def same_state(self, snapshot: Snapshot) -> bool:
        """Whether all databases are equal to the snapshot's."""
        return self._same_world(_read(snapshot))

    def _begin(self, prepared: PreparedTask, packed: bytes) -> Conversation:
        self._packed_task = packed
        self._conversation = Conversation(prepared, self._user, self._max_steps, self._max_errors)
        self._results = []
        self._verdict = None
        return self._conversation

    def _same_world(self, saved: _Saved) -> bool:
        return saved.task == self._packed_task and self.conversation.same_databases(saved.conversation)


def _read(snapshot: Snapshot) -> _Saved:
    task, conversation, results = pickle.loads(snapshot.data)
    return _Saved(task, SavedConversation(*conversation), results)


def _unexecuted(call: ToolCall) -> ToolResult:
    """What answers a call that ended the conversation, or came with one that did."""
    return ToolResult(STOP_TOKEN if call.name == DONE else "not executed: the conversation is over")


def _spoken(messages: Sequence[Any]) -> list[Message]:
    """What agent and user said to each other, calls and their results aside."""
    words = [message for message in messages if message.role in ("assistant", "user") and not message.is_tool_call()]
    return [{"role": message.role, "content": message.content} for message in words]
