"""One episode while it is played: takes in sampled messages, executes their calls, asks the environment for what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fission_grpo.chat.parsing import ParsedMessage, parse_message
from fission_grpo.environments.base import ConversationalEnvironment, Environment, Reply
from fission_grpo.environments.guard import guarded
from fission_grpo.errors import InfrastructureError
from fission_grpo.tasks.task import Task
from fission_grpo.types import (
    Completion,
    Message,
    Snapshot,
    Step,
    StopReason,
    Tool,
    ToolCall,
    ToolResult,
    Trajectory,
    Verdict,
)

NOT_EXECUTED = "not executed: an earlier call failed"
"""Answers the calls behind an erring one under `EpisodeLimits.stop_at_error`."""
MAX_ANSWER_CHARACTERS = 500_000
"""Of all results of one message together: more than a context of 100,000 tokens, and a second of tokenisation."""


def answers_to(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> list[Message]:
    """The tool messages (N,) that answer a message's calls (N,); those behind the last result were not executed."""
    contents = [result.content for result in results] + [NOT_EXECUTED] * (len(calls) - len(results))
    return [{"role": "tool", "name": call.name, "content": content} for call, content in zip(calls, contents, strict=True)]


def play_message(environment: Environment, text: str, calls: Sequence[ToolCall], stop_at_error: bool = False) -> Reply:
    """Plays one assistant message: executes its calls and, where there is a user, has him answer one that makes none.

    Results are cut where all of them together are longer than `MAX_ANSWER_CHARACTERS`.

    Raises:
        InfrastructureError: the environment failed, whatever it raised.
    """
    with guarded():
        if isinstance(environment, ConversationalEnvironment):
            reply = environment.respond(text, calls)
            return replace(reply, results=_bounded(reply.results))
        results: list[ToolResult] = []
        for call in calls:
            results.append(environment.call(call))
            if results[-1].is_error and stop_at_error:
                break
        return Reply(_bounded(results), (), over=False)


def _bounded(results: Sequence[ToolResult]) -> tuple[ToolResult, ...]:
    if sum(len(result.content) for result in results) <= MAX_ANSWER_CHARACTERS:
        return tuple(results)
    room = MAX_ANSWER_CHARACTERS // len(results)
    return tuple(replace(result, content=_cut(result.content, room)) for result in results)


def _cut(content: str, room: int) -> str:
    left_out = len(content) - room
    return content if left_out <= 0 else f"{content[:room]} [{left_out} characters left out]"


class Chat(Protocol):
    """What an episode needs of `chat.template.ChatFormat`."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        """The dialogue as token ids, up to where the assistant writes."""
        ...

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]:
        """`ids`, which end with a sampled message, untouched; then `messages`, up to where the assistant writes."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a sampled message without its end token."""
        ...

    def assistant_message(self, text: str) -> Message:
        """The chat message that stands for a sampled text."""
        ...


@dataclass(frozen=True)
class EpisodeLimits:
    """What ends a turn and an episode.

    Attributes:
        steps_per_turn: assistant messages within one user turn; BFCL's official pipeline allows 21.
        context_tokens: an episode ends where its context and `Sampling.max_new_tokens` together exceed this.
        stop_at_error: leave the calls of a message behind its first erring one unexecuted. BFCL executes all; so does every
            environment with a user.
        answer_format_errors: answer an unreadable message with what is wrong with it. BFCL silently ends the turn.
    """

    steps_per_turn: int = 21
    context_tokens: int = 4096
    stop_at_error: bool = False
    answer_format_errors: bool = False


@dataclass(frozen=True)
class _Played:
    """A sampled message, read, and what the environment answers it."""

    text: str
    parsed: ParsedMessage
    snapshot: Snapshot
    reply: Reply


@dataclass(frozen=True)
class EpisodeStart:
    """Where an episode starts midway, for instance a recovery at a failure point.

    Attributes:
        environment: restored to the state already; the episode plays in this very instance, so siblings need one each.
        messages: the dialogue so far.
        prompt_ids: the same as token ids, up to where the assistant writes.
        turn: index of the current user turn.
    """

    task: Task
    environment: Environment
    messages: tuple[Message, ...]
    prompt_ids: tuple[int, ...]
    turn: int = 0


class Episode:
    """An episode in play. It is over once `stop_reason` is set; `ids` is the context to be continued until then.

    Args:
        start: where it starts; nothing is sampled yet.
        max_new_tokens: room that the next message needs within `limits.context_tokens`.
    """

    def __init__(self, start: EpisodeStart, chat: Chat, limits: EpisodeLimits, max_new_tokens: int) -> None:
        self.task = start.task
        self.ids = list(start.prompt_ids)
        self.stop_reason: StopReason | None = None
        self._environment = start.environment
        self._chat = chat
        self._limits = limits
        self._max_new_tokens = max_new_tokens
        self._messages = list(start.messages)
        self._tools = list(start.environment.tools)
        self._turn = start.turn
        self._steps_of_turn = 0
        self._steps: list[Step] = []
        self._ahead: tuple[Completion, _Played | InfrastructureError] | None = None
        self._fault = ""
        try:
            self._check_context()
        except InfrastructureError as error:
            self._break_off(error)

    @property
    def has_user(self) -> bool:
        """Whether a message may take as long as a user, perhaps a model elsewhere, needs to answer it."""
        return isinstance(self._environment, ConversationalEnvironment)

    def play_ahead(self, completion: Completion) -> None:
        """Plays a message that `advance` will take in next. It may run in a thread, beside other episodes."""
        try:
            self._ahead = completion, self._play(completion)
        except InfrastructureError as error:
            self._ahead = completion, error

    def advance(self, completion: Completion) -> Step | None:
        """Takes in one sampled message: executes its calls, or ends the user turn.

        Returns:
            the step; None where the infrastructure failed, which ends the episode.
        """
        try:
            return self._advance(completion)
        except InfrastructureError as error:
            self._break_off(error)
            return None

    def trajectory(self) -> Trajectory:
        """The episode so far, with its verdict unless the infrastructure failed."""
        verdict: Verdict | None = None
        if self.stop_reason is not StopReason.INFRASTRUCTURE:
            try:
                with guarded():
                    verdict = self._environment.verdict()
            except InfrastructureError as error:
                self._break_off(error)
        return Trajectory(
            task_id=self.task.id,
            scenario=self.task.scenario,
            steps=tuple(self._steps),
            messages=tuple(self._messages),
            stop_reason=self.stop_reason or StopReason.COMPLETED,
            verdict=verdict,
            tags=self.task.tags,
            fault=self._fault,
        )

    def _break_off(self, error: InfrastructureError) -> None:
        self.stop_reason = StopReason.INFRASTRUCTURE
        self._fault = str(error)

    def _advance(self, completion: Completion) -> Step:
        played = self._played(completion)
        parsed, reply = played.parsed, played.reply
        step = Step(
            turn=self._turn,
            prompt_ids=tuple(self.ids),
            completion=completion,
            text=played.text,
            calls=parsed.calls,
            format_error=parsed.error,
            results=reply.results,
            snapshot=played.snapshot,
        )
        self._steps.append(step)
        self._steps_of_turn += 1
        self._messages.append(self._chat.assistant_message(played.text))
        self.ids.extend(completion.ids)
        answers = [*self._answers(parsed, reply.results), *reply.messages]
        if answers:
            self._append(answers)
        if reply.over:
            self.stop_reason = StopReason.COMPLETED
        elif answers:
            if self._steps_of_turn >= self._limits.steps_per_turn:
                self._force_quit(StopReason.STEP_LIMIT)
        else:
            self._end_turn()
        if self.stop_reason is None:
            self._check_context()
        return step

    def _played(self, completion: Completion) -> _Played:
        """What was played ahead, or else is played now."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] is not completion:
            return self._play(completion)
        if isinstance(ahead[1], InfrastructureError):
            raise ahead[1]
        return ahead[1]

    def _play(self, completion: Completion) -> _Played:
        """Reads a message and plays it; a user does not hear what is answered with its format error."""
        text = self._chat.decode(completion.ids)
        parsed = parse_message(text)
        with guarded():
            snapshot = self._environment.snapshot()
        if parsed.error is not None and self._limits.answer_format_errors:
            return _Played(text, parsed, snapshot, Reply((), (), over=False))
        reply = play_message(self._environment, parsed.content, parsed.calls, self._limits.stop_at_error)
        return _Played(text, parsed, snapshot, reply)

    def _answers(self, parsed: ParsedMessage, results: Sequence[ToolResult]) -> list[Message]:
        """What is said to the policy within the turn; nothing where its message ends the turn."""
        if parsed.error is not None and self._limits.answer_format_errors:
            return [{"role": "user", "content": parsed.error.detail}]
        return answers_to(parsed.calls, results)

    def _end_turn(self) -> None:
        with guarded():
            messages, tools = self._environment.next_user_turn(), list(self._environment.tools)
        if messages is None:
            self.stop_reason = StopReason.COMPLETED
            return
        self._turn += 1
        self._steps_of_turn = 0
        self._append(messages)
        if tools != self._tools:
            self._offer(tools)

    def _append(self, messages: list[Message]) -> None:
        self._messages.extend(messages)
        self.ids = list(self._chat.extend(self.ids, messages))

    def _offer(self, tools: list[Tool]) -> None:
        """Renders the opening anew with other tools; the ids behind it, sampled ones included, stay as they are."""
        first_reply = next(place for place, message in enumerate(self._messages) if message["role"] == "assistant")
        opening = self._messages[:first_reply]
        head = self._chat.render(opening, self._tools)
        if self.ids[: len(head)] == list(head):
            self.ids = [*self._chat.render(opening, tools), *self.ids[len(head) :]]
        else:  # a start whose context had been shortened
            self.ids = list(self._chat.render(self._messages, tools))
        self._tools = tools

    def _check_context(self) -> None:
        if len(self.ids) + self._max_new_tokens > self._limits.context_tokens:
            self._force_quit(StopReason.TOKEN_LIMIT)

    def _force_quit(self, reason: StopReason) -> None:
        """Ends the episode. Its open turn is judged as it stands, so that the last turn still counts, as in BFCL."""
        with guarded():
            self._environment.next_user_turn()
        self.stop_reason = reason
