"""The context builder: `x_corr = [x ; tau_err ; f]` as messages and as token ids, and its ablations.

The failed message stands in it token for token as it was sampled. Its feedback is the `tool` message that answers the failed
call where one was parsed, otherwise a `user` message under `FEEDBACK_HEADER`. When the context is too long, whole old user
turns of x are left out, oldest first; what was left out is counted and never cut silently.
"""

from collections.abc import Sequence
from typing import Protocol

from fission_grpo.fission.settings import RecoveryContext
from fission_grpo.rollout.episode import answers_to
from fission_grpo.types import CorrectiveContext, Failure, Feedback, FeedbackLevel, Message, Tool

FEEDBACK_HEADER = "Your last message could not be accepted:"
"""Opens the feedback on a message that made no call which a tool message could answer."""


NO_FEEDBACK = Feedback("", "none", FeedbackLevel.RAW)
"""Stands in a context whose recoveries see no feedback."""


class ChatRenderer(Protocol):
    """What the builder needs of `chat.template.ChatFormat`."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]: ...

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]: ...

    def assistant_message(self, text: str) -> Message: ...


def feedback_messages(failure: Failure, feedback: Feedback) -> list[Message]:
    """What follows tau_err: the answers to its calls, the failed one's replaced by the feedback.

    >>> from fission_grpo.types import FailureKind, FeedbackLevel
    >>> failure = Failure("t", "s", (), (), (1,), (2,), "hm", (), (), FailureKind.MISSING_CALL)
    >>> feedback_messages(failure, Feedback("call a tool.", "rules", FeedbackLevel.FULL))
    [{'role': 'user', 'content': 'Your last message could not be accepted:\\ncall a tool.'}]
    """
    messages = answers_to(failure.calls, failure.results)
    if failure.call_index is not None:
        messages[failure.call_index]["content"] = feedback.text
    else:
        messages.append({"role": "user", "content": f"{FEEDBACK_HEADER}\n{feedback.text}"})
    return messages


def build_context(
    failure: Failure,
    feedback: Feedback,
    chat: ChatRenderer,
    max_tokens: int,
    kind: RecoveryContext = RecoveryContext.FEEDBACK,
) -> CorrectiveContext | None:
    """Builds `x_corr`, or returns None where even the shortest form is longer than `max_tokens`.

    `prompt_ids` begins with the very ids that x was sampled under, unless old turns had to be left out; then x is rendered
    anew without them. `failure.completion_ids` stands in it unchanged either way.
    """
    if kind is RecoveryContext.PROMPT:  # it was sampled from, so it is not too long
        return CorrectiveContext(failure, feedback, failure.messages, failure.prompt_ids)
    answer = [] if kind is RecoveryContext.ATTEMPT else feedback_messages(failure, feedback)
    tail = [chat.assistant_message(failure.text), *answer]
    ids = chat.extend((*failure.prompt_ids, *failure.completion_ids), answer)
    if len(ids) <= max_tokens:
        return CorrectiveContext(failure, feedback, (*failure.messages, *tail), tuple(ids))
    for kept in _shortened(failure.messages):
        ids = chat.extend((*chat.render(kept, failure.tools), *failure.completion_ids), answer)
        if len(ids) <= max_tokens:
            dropped = len(failure.messages) - len(kept)
            return CorrectiveContext(failure, feedback, (*kept, *tail), tuple(ids), dropped_messages=dropped)
    return None


def _shortened(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The dialogue without its oldest user turn, without its two oldest, and so on; system text and last turn stay."""
    system = tuple(message for message in messages[:1] if message["role"] == "system")
    starts = [index for index, message in enumerate(messages) if message["role"] == "user"]
    return [(*system, *messages[start:]) for start in starts[1:]]
