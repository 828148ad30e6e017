"""TAU-Bench's retail and airline as a forkable environment."""

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from fission_grpo.chat.parsing import without_thinking
from fission_grpo.environments.base import Reply
from fission_grpo.environments.tau.compatible import CompatibleGame, SavedConversation
from fission_grpo.environments.tau.official import OfficialGame, SavedGame
from fission_grpo.environments.tau.package import Mode, check_domain
from fission_grpo.environments.tau2.users import ScriptedUser, UserModel
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Snapshot, Tool, ToolCall, ToolResult, Verdict

MAX_STEPS = 30
"""Messages of the agent in the published protocol."""
NOT_EXECUTED = "not executed: only the first call of a message is"


class Game(Protocol):
    """A task in play, by either package."""

    @property
    def tools(self) -> tuple[Tool, ...]: ...
    @property
    def over(self) -> bool: ...
    def start(self) -> list[Message]: ...
    def call(self, call: ToolCall) -> ToolResult: ...
    def say(self, text: str) -> str: ...
    def end(self) -> None: ...
    def verdict(self) -> Verdict: ...
    def save(self) -> Any: ...
    def load(self, saved: Any) -> None: ...
    def same_databases(self, saved: Any) -> bool: ...


class _Saved(NamedTuple):
    task: bytes
    game: tuple[Any, ...]
    steps: int
    results: tuple[str, ...]


class TauEnvironment:
    """One task of TAU-Bench by its published protocol: 30 messages, of which each makes one call or speaks to the user.

    What a score is one of stands in the task (`config["mode"]`): tasks of the official package are played and rewarded by
    it; those of the v1-compatible mode by tau2, with its tasks and texts. A task is one turn, as in `Tau2Environment`.

    Args:
        user: who plays the user; by default the script.
        max_steps: messages of the agent.
    """

    def __init__(self, user: UserModel | None = None, *, max_steps: int = MAX_STEPS) -> None:
        self._user: UserModel = user or ScriptedUser()
        self._max_steps = max_steps
        self._packed_task = b""
        self._game: Game | None = None
        self._steps = 0
        self._results: list[str] = []

    @property
    def tools(self) -> Sequence[Tool]:
        """The agent's tools (none before `reset`). Shared: not to be changed."""
        return self._game.tools if self._game is not None else ()

    def reset(self, task: Task) -> list[Message]:
        """Starts a task; returns the domain's policy as system text, and what the user says first.

        Raises:
            UserError: the package that the task is from is not installed as it must be, or has no such task.
            InfrastructureError: the user model failed.
        """
        return self._begin(task, pickle.dumps(task, protocol=5)).start()

    def respond(self, text: str, calls: Sequence[ToolCall]) -> Reply:
        """Plays one message of the agent: its first call, or its words where it makes none."""
        game, words = self._playing, without_thinking(text)
        if game.over:
            return Reply((), (), over=True)
        self._steps += 1
        results: list[ToolResult] = []
        said: list[Message] = []
        if calls:
            results = [game.call(calls[0]), *(ToolResult(NOT_EXECUTED) for _ in calls[1:])]
            self._results.append(results[0].content)
        elif words:
            said = [{"role": "user", "content": game.say(words)}]
        else:
            game.end()
        if self._steps >= self._max_steps and not game.over:
            game.end()
        return Reply(tuple(results), tuple(said), game.over)

    def call(self, call: ToolCall) -> ToolResult:
        """Plays a message with one call and nothing else."""
        reply = self.respond("", (call,))
        return reply.results[0] if reply.results else ToolResult("not executed: the conversation is over")

    def next_user_turn(self) -> None:
        """Ends the task unsolved where it is not over yet."""
        if not self._playing.over:
            self._playing.end()

    def snapshot(self) -> Snapshot:
        saved = _Saved(self._packed_task, tuple(self._playing.save()), self._steps, tuple(self._results))
        return Snapshot(pickle.dumps(tuple(saved), protocol=5))

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on from a snapshot, with this instance's user model and limit."""
        saved = _read(snapshot)
        if self._game is None or saved.task != self._packed_task:
            self._begin(pickle.loads(saved.task), saved.task)
        self._playing.load(self._typed(saved))
        self._steps, self._results = saved.steps, list(saved.results)

    def verdict(self) -> Verdict:
        """The package's own; a task that is not over is unsolved."""
        return self._playing.verdict() if self._playing.over else Verdict(False, (), "the conversation is not over")

    def matches(self, target: Snapshot) -> bool:
        """Whether all databases are equal to the target's and the agent has seen all results that the target has seen."""
        return not Counter(_read(target).results) - Counter(self._results) and self.same_state(target)

    def same_state(self, snapshot: Snapshot) -> bool:
        """Whether all databases are equal to the snapshot's."""
        saved = _read(snapshot)
        return saved.task == self._packed_task and self._playing.same_databases(self._typed(saved))

    @property
    def _playing(self) -> Game:
        if self._game is None:
            raise UserError("TauEnvironment: `reset(task)` or `restore(snapshot)` must come first")
        return self._game

    def _begin(self, task: Task, packed: bytes) -> Game:
        mode, domain = task.config.get("mode"), task.config.get("domain")
        if mode not in set(Mode) or not isinstance(domain, str):
            allowed = ", ".join(repr(each.value) for each in Mode)
            raise UserError(
                f"task {task.id}, field config: `domain` and `mode` are needed; found mode {mode!r}, allowed: {allowed}"
            )
        check_domain(domain)
        game = OfficialGame(task, self._user) if mode == Mode.OFFICIAL else CompatibleGame(task, self._user)
        self._game, self._packed_task, self._steps, self._results = game, packed, 0, []
        return game

    def _typed(self, saved: _Saved) -> SavedGame | SavedConversation:
        return (SavedGame if isinstance(self._game, OfficialGame) else SavedConversation)(*saved.game)


def _read(snapshot: Snapshot) -> _Saved:
    return _Saved(*pickle.loads(snapshot.data))
