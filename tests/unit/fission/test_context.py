"""x_corr: the failed message token for token, the feedback in its place, nothing cut silently."""

from dataclasses import replace

from failing import Letters, failure
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.fission import FEEDBACK_HEADER, build_context
from fission_grpo.fission.context import feedback_messages
from fission_grpo.rollout.episode import NOT_EXECUTED
from fission_grpo.types import FailureKind, Feedback, FeedbackLevel, Message, ToolCall, ToolResult

FEEDBACK = Feedback("no such file.", "rules", FeedbackLevel.FULL)


def test_feedback_answers_the_failed_call_and_only_that():
    calls = (ToolCall("ls"), ToolCall("cat"), ToolCall("rm"))
    results = (ToolResult("a b"), ToolResult("error: raw", is_error=True))
    failed = replace(failure(), calls=calls, results=results, call_index=1)
    contents = [(message["role"], message["content"]) for message in feedback_messages(failed, FEEDBACK)]
    assert contents == [("tool", "a b"), ("tool", FEEDBACK.text), ("tool", NOT_EXECUTED)]


def test_a_message_without_a_call_is_answered_under_the_header():
    failed = replace(failure(), calls=(), results=(), call_index=None, kind=FailureKind.MALFORMED_CALL)
    (message,) = feedback_messages(failed, FEEDBACK)
    assert message == {"role": "user", "content": f"{FEEDBACK_HEADER}\n{FEEDBACK.text}"}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_begins_with_the_sampled_ids_byte_for_byte(sampled: list[int]):
    failed = replace(failure(), completion_ids=tuple(sampled))
    context = build_context(failed, FEEDBACK, Letters(), max_tokens=10_000)
    assert context is not None
    start = (*failed.prompt_ids, *sampled)
    assert context.prompt_ids[: len(start)] == start
    assert context.dropped_messages == 0
    assert context.messages[-1]["content"] == FEEDBACK.text


def test_leaves_out_old_turns_when_too_long_and_says_so():
    messages: tuple[Message, ...] = (
        {"role": "system", "content": "sys"},
        {"role": "user", "content": "x" * 50},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "now"},
    )
    failed = replace(failure(messages=messages), prompt_ids=tuple(range(60)))
    context = build_context(failed, FEEDBACK, Letters(), max_tokens=30)
    assert context is not None
    assert context.dropped_messages == 2
    assert [message["content"] for message in context.messages[:2]] == ["sys", "now"]
    assert len(context.prompt_ids) <= 30
    kept = Letters().render(context.messages[:2], ())
    assert context.prompt_ids[len(kept) : len(kept) + 3] == failed.completion_ids


def test_a_context_that_cannot_be_shortened_is_none():
    assert build_context(failure(), FEEDBACK, Letters(), max_tokens=3) is None
