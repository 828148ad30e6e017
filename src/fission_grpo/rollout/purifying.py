"""Episodes that forget the mistakes which the policy repairs itself: Similarity-Aware Adaptive Rollback (arXiv 2601.15141).

A step that errs is remembered with the state before it. Where one of the next `RETRIES` messages of the same user turn makes
calls that all succeed, the episode goes back to that state, and the repaired message stands in the failed one's place: what
lay between them never happened, neither in the dialogue nor in the environment. Without such a message all stays as played.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Protocol

from fission_grpo.chat.parsing import first_call, parse_message
from fission_grpo.rollout.episode import Chat, Episode, EpisodeLimits, EpisodeStart
from fission_grpo.types import Completion, Step, TakenBack, ToolCall, Trajectory

RETRIES = 3
"""K of the paper."""
SHALLOW_FROM = 0.5
"""Similarity of failed and repaired calls from which the failed message keeps its own words (the published code's)."""


class Decoder(Protocol):
    """What is needed to find the calls among sampled ids."""

    def decode(self, ids: Sequence[int]) -> str: ...


def merged(failed: Completion, repaired: Completion, chat: Decoder) -> Completion:
    """The message that replaces a failed one: its own words with the repaired calls, or the repaired message as a whole.

    Shallow where the calls are alike (`SHALLOW_FROM`): then only they were wrong. Sampled ids are cut at the first call and
    joined, never rendered again.
    """
    before, after = chat.decode(failed.ids), chat.decode(repaired.ids)
    old, new = parse_message(before).calls, parse_message(after).calls
    if likeness(old, new) < SHALLOW_FROM:
        return repaired
    head, tail = _first_call_token(failed.ids, before, chat), _first_call_token(repaired.ids, after, chat)
    joined = Completion(
        ids=(*failed.ids[:head], *repaired.ids[tail:]),
        logprobs=(*failed.logprobs[:head], *repaired.logprobs[tail:]),
        stop_reason=repaired.stop_reason,
    )
    return joined if parse_message(chat.decode(joined.ids)).calls == new else repaired


def likeness(failed: Sequence[ToolCall], repaired: Sequence[ToolCall]) -> float:
    """How alike two messages' calls are as text, in [0, 1].

    Names and arguments alone: the tags around them would make any two short calls alike.

    >>> round(likeness([ToolCall("cd", {"folder": "doc"})], [ToolCall("cd", {"folder": "docs"})]), 3)
    0.976
    """
    texts = ["\n".join(f"{call.name} {json.dumps(call.arguments)}" for call in calls) for calls in (failed, repaired)]
    return SequenceMatcher(None, *texts, autojunk=False).ratio()


def _first_call_token(ids: Sequence[int], text: str, chat: Decoder) -> int:
    """Index of the token with which the first call begins; a token that holds a piece of the words too counts as its."""
    start = first_call(text)
    assert start is not None  # only messages that make calls are alike
    return next(index for index in range(len(ids)) if len(chat.decode(ids[: index + 1])) > start)


@dataclass(frozen=True)
class _Failed:
    """A step that erred, and how far the episode was before it: steps, messages, steps of the turn."""

    step: Step
    steps: int
    messages: int
    steps_of_turn: int


class PurifyingEpisode(Episode):
    """An `Episode` in which a message that repairs a failed one takes its place."""

    def __init__(self, start: EpisodeStart, chat: Chat, limits: EpisodeLimits, max_new_tokens: int) -> None:
        super().__init__(start, chat, limits, max_new_tokens)
        self._failed: _Failed | None = None
        self._taken_back = TakenBack()

    def trajectory(self) -> Trajectory:
        """The episode without what was taken back, and what that cost."""
        return replace(super().trajectory(), taken_back=self._taken_back)

    def _advance(self, completion: Completion) -> Step:
        steps, messages, steps_of_turn = len(self._steps), len(self._messages), self._steps_of_turn
        step = super()._advance(completion)
        failed = self._failed
        if failed is not None and step.calls and not step.erred:
            self._failed = None
            return self._repair(failed, step)
        if self._turn != step.turn or (failed is not None and steps - failed.steps >= RETRIES):
            self._failed = None
        elif failed is None and step.erred:
            self._failed = _Failed(step, steps, messages, steps_of_turn)
        return step

    def _repair(self, failed: _Failed, repaired: Step) -> Step:
        """Plays the merged message where the failed one was; should it err there, everything stays as it was played."""
        assert failed.step.snapshot is not None
        ids, messages, played = self.ids, list(self._messages), list(self._steps)
        steps_of_turn, stop_reason, state = self._steps_of_turn, self.stop_reason, self._environment.snapshot()
        self._environment.restore(failed.step.snapshot)
        self.ids, self.stop_reason, self._steps_of_turn = list(failed.step.prompt_ids), None, failed.steps_of_turn
        del self._messages[failed.messages :], self._steps[failed.steps :]
        clean = super()._advance(merged(failed.step.completion, repaired.completion, self._chat))
        if clean.erred:
            self._environment.restore(state)
            self.ids, self._messages, self._steps = ids, messages, played
            self._steps_of_turn, self.stop_reason = steps_of_turn, stop_reason
            return repaired
        self._count(played[failed.steps :], clean)
        return clean

    def _count(self, replaced: Sequence[Step], clean: Step) -> None:
        """Adds what `replaced` cost beside `clean`. Its last step is the repaired one, whose answers nobody has read."""
        sampled = sum(len(step.completion.ids) for step in replaced)
        in_clean = len(clean.completion.ids)
        read = len(replaced[-1].prompt_ids) - len(clean.prompt_ids) - (sampled - len(replaced[-1].completion.ids))
        so_far = self._taken_back
        self._taken_back = TakenBack(
            so_far.repairs + 1, so_far.sampled_tokens + sampled - in_clean, so_far.read_tokens + read + in_clean
        )
