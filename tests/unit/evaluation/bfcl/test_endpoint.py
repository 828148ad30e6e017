"""An endpoint that misbehaves: retried, then one entry's infrastructure error. A refusal is the user's to mend."""

import time
from typing import Any

import pytest

from faulty_endpoint import (
    Answer,
    chat,
    completion,
    cut,
    faulty_endpoint,
    hang_up,
    late,
    refusal,
    send,
)
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.evaluation.asking import Completion, ContextExceeded, Decoding, Outcome, Request
from fission_grpo.evaluation.bfcl.endpoint import EndpointBackend
from fission_grpo.evaluation.bfcl.handlers import ToolCalls
from fission_grpo.evaluation.endpoint import EndpointSettings

TEXT = Request(prompt="p")
CHAT = Request(messages=({"role": "user", "content": "u"},))


def ask(url: str, request: Request = TEXT, retries: int = 1, timeout: float = 5.0, max_new_tokens: int = 64) -> Outcome:
    settings = EndpointSettings(url, "m", concurrency=2, timeout=timeout, retries=retries)
    backend = EndpointBackend(settings, Decoding(0.0, max_new_tokens))
    try:
        backend.submit(7, request)
        [(key, outcome)] = backend.collect()
    finally:
        backend.close()
    assert key == 7
    return outcome


def asked(*answers: Answer, request: Request = TEXT, retries: int = 1, timeout: float = 5.0) -> tuple[Outcome, int]:
    """The outcome, and how many requests it took."""
    with faulty_endpoint(answers) as endpoint:
        outcome = ask(endpoint.url, request, retries, timeout)
        return outcome, len(endpoint.requests)


GARBAGE = {
    "half a JSON": send('{"choices": [{"te'),
    "no JSON": send("certainly!"),
    "not UTF-8": send(b'\xff\xfe{"choices": []}'),
    "an error page": send("<html><body>Bad gateway</body></html>", kind="text/html"),
    "nothing": send(""),
    "null": send("null"),
    "a list": send("[]"),
    "no choices": send("{}"),
    "empty choices": send('{"choices": []}'),
    "choices null": send('{"choices": null}'),
    "a choice that is a text": send('{"choices": ["x"]}'),
    "text null": completion(None),
}


@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_asked_again_and_then_an_infrastructure_error(fault: Answer) -> None:
    outcome, requests = asked(fault, completion("fine"))
    assert isinstance(outcome, Completion)
    assert (outcome.text, requests) == ("fine", 2)
    outcome, requests = asked(fault, retries=0)
    assert isinstance(outcome, InfrastructureError)
    assert requests == 1


PASSING = {
    "a cut connection": cut,
    "hung up": hang_up,
    "overloaded": refusal(503, "loading"),
    "broken": send("<html>", 500, "text/html"),
    "rate limited": refusal(429, "slow down", {"Retry-After": "0.1"}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Answer) -> None:
    outcome, requests = asked(fault, completion("fine"))
    assert isinstance(outcome, Completion)
    assert (outcome.text, requests) == ("fine", 2)
    outcome, requests = asked(fault)
    assert isinstance(outcome, InfrastructureError)
    assert requests == 2


def test_retry_after_is_obeyed() -> None:
    started = time.perf_counter()
    outcome, _ = asked(refusal(429, "slow down", {"Retry-After": "2"}), completion("fine"))
    assert isinstance(outcome, Completion)
    assert time.perf_counter() - started > 1.9


def test_a_slow_endpoint_is_given_up() -> None:
    outcome, requests = asked(late(5.0, completion("late")), retries=1, timeout=0.3)
    assert isinstance(outcome, InfrastructureError)
    assert "Timeout" in str(outcome)
    assert requests == 2


def test_nobody_there() -> None:
    with faulty_endpoint([completion("x")]) as endpoint:
        url = endpoint.url
    assert isinstance(ask(url, retries=0), InfrastructureError)


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "set OPENAI_API_KEY"), (403, "set OPENAI_API_KEY"), (404, "check --base-url and --model")]
)
def test_a_refusal_stops_everything(status: int, advice: str) -> None:
    with pytest.raises(UserError, match=rf"model 'm'.*no such thing.*{advice}"):
        asked(refusal(status, "no such thing"))


TOO_LONG = refusal(400, "This model's maximum context length is 100 tokens. However, you requested 4000 tokens.")


def test_a_prompt_that_never_fits_is_counted() -> None:
    outcome, requests = asked(TOO_LONG)
    assert isinstance(outcome, ContextExceeded)
    assert "maximum context length" in outcome.detail
    assert requests == 3  # 64, 32, 16 tokens


def test_a_message_gets_what_the_context_has_left() -> None:
    with faulty_endpoint([TOO_LONG, completion("fine")]) as endpoint:
        outcome = ask(endpoint.url)
        assert [request["max_tokens"] for request in endpoint.requests] == [64, 32]
    assert isinstance(outcome, Completion)


@pytest.mark.parametrize("message", ["temperature exceeds the maximum of 1", "Unsupported parameter: 'max_tokens'"])
def test_another_bad_request_is_no_matter_of_context(message: str) -> None:
    """It would count every entry as wrong."""
    outcome, requests = asked(refusal(400, message))
    assert isinstance(outcome, InfrastructureError)
    assert message in str(outcome)
    assert requests == 1


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (0, 0)),
        ({}, (0, 0)),
        ({"prompt_tokens": 3}, (3, 0)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, (3, 2)),
    ],
)
def test_usage_may_be_missing(usage: Any, tokens: tuple[int, int]) -> None:
    outcome, _ = asked(completion("fine", usage))
    assert isinstance(outcome, Completion)
    assert (outcome.input_tokens, outcome.output_tokens) == tokens


def call(**function: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": function}


@pytest.mark.parametrize(
    ("message", "response"),
    [
        ({"role": "assistant", "content": "Done."}, "Done."),
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant", "content": "Done.", "tool_calls": None}, "Done."),
        ({"role": "assistant", "content": "Done.", "tool_calls": []}, "Done."),
        ({"role": "assistant", "tool_calls": [call(name="ls", arguments="{}")]}, [{"ls": "{}"}]),
        ({"role": "assistant", "tool_calls": [call(name="ls", arguments="")]}, [{"ls": ""}]),
        ({"role": "assistant", "tool_calls": [call(name="ls", arguments=None)]}, [{"ls": None}]),
        ({"role": "assistant", "tool_calls": [call(name="ls")]}, [{"ls": None}]),
        (
            {"role": "assistant", "tool_calls": [call(name="ls", arguments="{}"), call(name="ls", arguments="{}")]},
            [{"ls": "{}"}, {"ls": "{}"}],
        ),
    ],
)
def test_chat_messages(message: Any, response: Any) -> None:
    outcome, requests = asked(chat(message), request=CHAT)
    assert isinstance(outcome, Completion)
    assert requests == 1
    assert ToolCalls().read(outcome).response == response


@pytest.mark.parametrize(
    "message",
    [None, "text", {"role": "assistant", "tool_calls": [call(arguments="{}")]}, {"tool_calls": [call(name=None)]}],
)
def test_chat_messages_that_are_none(message: Any) -> None:
    outcome, _ = asked(chat(message), request=CHAT, retries=0)
    assert isinstance(outcome, InfrastructureError)


def test_a_call_without_an_id_is_answered() -> None:
    message = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "ls", "arguments": "{}"}}]}
    outcome, _ = asked(chat(message), request=CHAT)
    assert isinstance(outcome, Completion)
    handler = ToolCalls()
    [result] = handler.results(["ls()"], ["[]"], handler.read(outcome))
    assert result == {"role": "tool", "content": "[]", "tool_call_id": None}


def test_closing_does_not_wait_for_what_is_under_way() -> None:
    with faulty_endpoint([late(5.0, completion("late"))]) as endpoint:
        backend = EndpointBackend(EndpointSettings(endpoint.url, "m", 2, 60.0, 3), Decoding())
        backend.submit(0, TEXT)
        time.sleep(0.3)
        started = time.perf_counter()
        backend.close()
        assert time.perf_counter() - started < 1.0
