"""An episode with a model that is asked for chat messages: an endpoint, whose token ids nobody sees."""

import json
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

from fission_grpo.chat.parsing import CLOSE, OPEN, parse_message, without_thinking
from fission_grpo.environments.base import Environment
from fission_grpo.environments.guard import guarded
from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.asking import Completion, ContextExceeded, Outcome, Request
from fission_grpo.rollout.episode import play_message
from fission_grpo.rollout.usage import Usage
from fission_grpo.tasks.task import Task
from fission_grpo.types import Completion as Sampled
from fission_grpo.types import Message, Step, StopReason, ToolCall, ToolResult, Trajectory

_UNSEEN = Sampled((), (), StopReason.END)

Ask = Callable[[Request], Outcome]
"""Asks a model for one message."""


def play_chat(
    task: Task, environment: Environment, ask: Ask, max_steps: int, stopped: Event | None = None
) -> tuple[Trajectory, Usage]:
    """Plays one task to its end. Steps have no token ids and no snapshots; the tokens are those that the endpoint counts.

    Args:
        environment: a fresh one.
        max_steps: the model's messages within one user turn.
        stopped: once it is set, the episode breaks off as one in which the infrastructure failed.

    Raises:
        UserError: as the environment, or `ask`.
    """
    episode = _ChatEpisode(task, environment)
    try:
        episode.play(ask, max_steps, stopped or Event())
        with guarded():
            verdict, fault = environment.verdict(), ""
    except InfrastructureError as error:
        episode.stop_reason, verdict, fault = StopReason.INFRASTRUCTURE, None, str(error)
    trajectory = Trajectory(
        task_id=task.id,
        scenario=task.scenario,
        steps=tuple(episode.steps),
        messages=tuple(episode.messages),
        stop_reason=episode.stop_reason,
        verdict=verdict,
        tags=task.tags,
        fault=fault,
    )
    return trajectory, episode.usage


class _ChatEpisode:
    """An episode in play."""

    def __init__(self, task: Task, environment: Environment) -> None:
        self._task = task
        self._environment = environment
        self._turn = 0
        self._steps_of_turn = 0
        self.messages: list[Message] = []
        self.steps: list[Step] = []
        self.usage = Usage()
        self.stop_reason = StopReason.COMPLETED

    def play(self, ask: Ask, max_steps: int, stopped: Event) -> None:
        with guarded():
            self.messages += self._environment.reset(self._task)
        while True:
            if self._steps_of_turn == max_steps:
                self._force_quit(StopReason.STEP_LIMIT)
                return
            if stopped.is_set():
                raise InfrastructureError("stopped")
            outcome = ask(Request(messages=tuple(self.messages), tools=tuple(self._environment.tools)))
            if isinstance(outcome, InfrastructureError):
                raise outcome
            if isinstance(outcome, ContextExceeded):
                self._force_quit(StopReason.TOKEN_LIMIT)
                return
            self.usage += Usage(outcome.input_tokens, outcome.output_tokens)
            if self._take(outcome):
                return

    def _take(self, completion: Completion) -> bool:
        """Plays one message; whether the episode is over."""
        text = text_of(completion)
        parsed = parse_message(text)
        reply = play_message(self._environment, parsed.content, parsed.calls)
        self.steps.append(
            Step(self._turn, (), _UNSEEN, text, parsed.calls, parsed.error, reply.results)  # in the order of its fields
        )
        self._steps_of_turn += 1
        self.messages += chat_messages(parsed.content, parsed.calls, reply.results, number=len(self.steps))
        self.messages += reply.messages
        if reply.over:
            return True
        if parsed.calls or reply.messages:
            return False
        with guarded():
            following = self._environment.next_user_turn()
        self.messages += following or []
        self._turn, self._steps_of_turn = self._turn + 1, 0
        return following is None

    def _force_quit(self, reason: StopReason) -> None:
        """The open turn is judged as it stands."""
        with guarded():
            self._environment.next_user_turn()
        self.stop_reason = reason


def text_of(completion: Completion) -> str:
    """A message as text, its calls in the format that `parse_message` reads: what is wrong with one is found there.

    >>> text_of(Completion("", ({"function": {"name": "ls", "arguments": '{"path": '}},)))
    '<tool_call>\\n{"name": "ls", "arguments": {"path": }\\n</tool_call>'
    """
    return "\n".join([*([completion.text] if completion.text else []), *map(_call_text, completion.tool_calls)])


def chat_messages(content: str, calls: Sequence[ToolCall], results: Sequence[ToolResult], number: int) -> list[Message]:
    """A message and the answers to its calls, as an endpoint reads them."""
    if not calls:
        return [{"role": "assistant", "content": without_thinking(content)}]
    ids = [f"call_{number}_{place}" for place in range(len(calls))]
    made = [
        {"id": id_, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for id_, call in zip(ids, calls, strict=True)
    ]
    answers: list[Message] = [
        {"role": "tool", "tool_call_id": id_, "content": result.content} for id_, result in zip(ids, results, strict=True)
    ]
    return [{"role": "assistant", "content": without_thinking(content), "tool_calls": made}, *answers]


def _call_text(call: Mapping[str, Any]) -> str:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return f'{OPEN}\n{{"name": {json.dumps(function["name"])}, "arguments": {raw}}}\n{CLOSE}'
