"""An endpoint that misbehaves costs nothing but its feedback: real HTTP, seen through the chain that training uses."""

import tracemalloc
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from time import monotonic

import pytest
from failing import failure
from hypothesis import given, settings
from hypothesis import strategies as st

from faulty_endpoint import (
    Answer,
    chat,
    cut,
    faulty_endpoint,
    hang_up,
    late,
    refusal,
    reset,
    says,
    send,
    without_end,
)
from fission_grpo.errors import UserError
from fission_grpo.simulators.answer import answer_text
from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.types import FailureKind, Feedback

SENTENCE = "The file was not found. Check its name."
HONEST = says(answer_text(FailureKind.RUNTIME_ERROR, SENTENCE))


def quota(status: int = 429) -> Answer:
    return send('{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}', status)


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    handler.close_connection = True


LOST: dict[str, tuple[str, Answer]] = {
    "slow": ("timeout", late(20.0, HONEST)),
    "dribbling without end": ("timeout", without_end(b" ", pause=0.02)),
    "dribbling an error": ("timeout", without_end(b" ", pause=0.02, status=500)),
    "rate limited": ("rate_limit", refusal(429, "slow down")),
    "rate limited for an hour": ("rate_limit", refusal(429, "slow down", {"Retry-After": "3600"})),
    "rate limited for ever": ("rate_limit", refusal(429, "slow down", {"Retry-After": "1e999"})),
    "rate limited until a date": ("rate_limit", refusal(429, "", {"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"})),
    "rate limited backwards": ("rate_limit", refusal(429, "slow down", {"Retry-After": "-5"})),
    "out of quota": ("quota", quota()),
    "unpaid": ("quota", refusal(402, "Payment required")),
    "a wrong key": ("refused", refusal(401, "no such key")),
    "forbidden": ("refused", refusal(403, "not yours")),
    "no such model": ("refused", refusal(404, "no such model")),
    "a prompt too long": ("rejected", refusal(400, "maximum context length is 100 tokens")),
    "a page instead of an error": ("rejected", send("<html>teapot</html>", 418, "text/html")),
    "loading": ("server_error", refusal(503, "loading")),
    "an error without end": ("server_error", without_end(b"x" * 65536, status=500)),
    "cut": ("connection", cut),
    "hung up": ("connection", hang_up),
    "reset": ("connection", reset),
    "redirected in a circle": ("connection", send("", 307, headers={"Location": "/v1/chat/completions"})),
    "no HTTP": ("connection", no_http),
    "a page": ("garbage", send("<html><body>Welcome to the airport</body></html>", kind="text/html")),
    "nothing": ("garbage", send("")),
    "no content": ("garbage", send("", 204)),
    "half a JSON": ("garbage", send('{"choices": [{"message": {"content": "{\\"ki')),
    "not UTF-8": ("garbage", send(b'\xff\xfe{"choices": []}')),
    "packed, unasked": ("garbage", send(b"\x1f\x8b" + b"\x00" * 100, headers={"Content-Encoding": "gzip"})),
    "nested": ("garbage", send("[" * 100_000)),
    "a number": ("garbage", send("1" * 100_000)),
    "null": ("garbage", send("null")),
    "empty choices": ("garbage", send('{"choices": []}')),
    "choices null": ("garbage", send('{"choices": null}')),
    "choices an object": ("garbage", send('{"choices": {"0": 1}}')),
    "a choice that is a text": ("garbage", send('{"choices": ["x"]}')),
    "no message": ("garbage", chat(None)),
    "without end": ("too_long", without_end(b'{"choices": "' + b"x" * 65536)),
}

UNUSABLE: dict[str, tuple[str, Answer]] = {
    "content null": ("empty", chat({"role": "assistant", "content": None})),
    "content a number": ("empty", chat({"role": "assistant", "content": 7})),
    "a tool call": ("empty", chat({"content": None, "tool_calls": [{"function": {"name": "ls", "arguments": "{}"}}]})),
    "blank": ("empty", says(" \n ")),
    "thinking that was cut": ("empty", says('<think>The secret call is {"message": "ls"}')),
    "prose": ("no_json", says("The file is not there.")),
    "cut by the token limit": ("no_json", says('{"kind": "runtime_error", "message": "The fi')),
    "another object": ("no_message", says('{"error": "not found"}')),
    "another kind": ("unknown_kind", says('{"kind": "oops", "message": "The file was not found."}')),
    "another language": ("language", says(answer_text(FailureKind.RUNTIME_ERROR, "文件不存在，请检查文件名。"))),
    "a whole dialogue": (
        "dialogue",
        says(answer_text(FailureKind.RUNTIME_ERROR, "Not found.\nassistant: I call it again.")),
    ),
    "a page as message": ("markup", says(answer_text(FailureKind.RUNTIME_ERROR, "<p>The file was not found</p>"))),
    "100,000 tokens": ("too_long", says("word " * 100_000)),
    "a long message": ("too_long", says(answer_text(FailureKind.RUNTIME_ERROR, "The file was not found. " * 50))),
    "half a surrogate pair": ("invalid_text", says(answer_text(FailureKind.RUNTIME_ERROR, "The file \ud800 was not found"))),
}


def simulator(url: str, timeout: float = 0.5, retries: int = 0, concurrency: int = 16) -> EndpointSimulator:
    return EndpointSimulator(EndpointOptions(url, "m", concurrency, timeout, retries), ReplyCache(None))


def diagnosed(answers: Sequence[Answer], names: str) -> tuple[list[Feedback], EndpointSimulator, FallbackChain]:
    with faulty_endpoint(answers) as endpoint:
        asked = simulator(endpoint.url)
        chain = FallbackChain([asked, RulesSimulator()])
        feedbacks = chain.diagnose([failure(name) for name in names])
    return feedbacks, asked, chain


@pytest.mark.parametrize(("reason", "fault"), LOST.values(), ids=LOST)
def test_a_lost_question_goes_to_the_rules(reason: str, fault: Answer) -> None:
    started = monotonic()
    [feedback], asked, chain = diagnosed([fault], "a")
    assert monotonic() - started < 8.0  # bounded, on a busy machine too
    assert (feedback.source, feedback.replaced) == ("rules", "endpoint")
    assert asked.counts == {reason: 1, "requests": 1}
    assert chain.counts == {"failed/endpoint": 1, "answered/rules": 1}


@pytest.mark.parametrize(("fault", "answer"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_answer_is_drawn_once_more_and_goes_to_the_rules(fault: str, answer: Answer) -> None:
    [feedback], asked, chain = diagnosed([answer], "a")
    assert (feedback.source, feedback.replaced) == ("rules", "endpoint")
    assert asked.counts == {"answered": 2, "requests": 2}
    assert chain.counts == {f"unanswered/endpoint/{fault}": 2, "asked_again/endpoint": 1, "answered/rules": 1}


def test_a_leak_is_drawn_once_more() -> None:
    leak = says(answer_text(FailureKind.WRONG_TOOL, "You should have called ls."))
    [feedback], _, chain = diagnosed([leak, HONEST], "a")
    assert feedback.text.endswith(SENTENCE)
    assert chain.counts == {"leaked/endpoint": 1, "asked_again/endpoint": 1, "answered/endpoint": 1}


def test_nobody_there() -> None:
    with faulty_endpoint([HONEST]) as endpoint:
        url = endpoint.url
    asked = simulator(url)
    [feedback] = FallbackChain([asked, RulesSimulator()]).diagnose([failure()])
    assert (feedback.source, asked.counts) == ("rules", {"connection": 1, "requests": 1})


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://127.0.0.1/v1", "http://127.0.0.1:99999/v1", "ß"])
def test_a_url_that_is_none(url: str) -> None:
    asked = simulator(url)
    [feedback] = FallbackChain([asked, RulesSimulator()]).diagnose([failure()])
    assert (feedback.source, asked.counts) == ("rules", {"connection": 1, "requests": 1})


def test_what_no_address_can_be_made_of_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="base_url is no address"):
        simulator("http://[::1")


def test_one_lost_question_costs_only_its_failure() -> None:
    with faulty_endpoint([HONEST, refusal(503, "busy"), HONEST]) as endpoint:
        asked = simulator(endpoint.url, concurrency=1)
        feedbacks = asked.diagnose([failure(name) for name in "abc"])
    assert [(feedback.source, feedback.reason) for feedback in feedbacks] == [
        ("endpoint", None),
        ("fixed", "server_error"),
        ("endpoint", None),
    ]
    assert asked.counts == {"answered": 2, "server_error": 1, "requests": 3}


def test_a_body_without_end_takes_no_memory() -> None:
    tracemalloc.start()
    diagnosed([without_end(b"x" * 65536)], "abcd")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000


def test_a_dead_endpoint_costs_a_time_out_or_two_and_not_one_a_failure() -> None:
    with faulty_endpoint([late(3.0, HONEST)]) as endpoint:
        asked = simulator(endpoint.url, timeout=0.3, concurrency=8)
        started = monotonic()
        FallbackChain([asked, RulesSimulator()]).diagnose([failure(str(index)) for index in range(64)])
        assert monotonic() - started < 1.5
    assert asked.counts["timeout"] == asked.counts["requests"] < 16
    assert asked.counts["timeout"] + asked.counts["resting"] == 64


QUICK = [answer for name, (_, answer) in {**LOST, **UNUSABLE}.items() if not name.startswith(("slow", "dribbling"))]


@settings(max_examples=25)
@given(st.lists(st.sampled_from([*QUICK, HONEST, HONEST, HONEST]), min_size=1), st.lists(st.text("abcd"), max_size=6))
def test_whatever_comes_each_failure_gets_one_feedback_and_is_counted(answers: list[Answer], batches: list[str]) -> None:
    with faulty_endpoint(answers) as endpoint:
        asked = simulator(endpoint.url, concurrency=2)
        chain = FallbackChain([asked, RulesSimulator()])
        for names in batches:
            assert len(chain.diagnose([failure(name) for name in names])) == len(names)
        requests = len(endpoint.requests)
    total = sum(map(len, batches))
    assert sum(count for key, count in chain.counts.items() if key.startswith("answered/")) == total
    again = chain.counts["asked_again/endpoint"]
    assert sum(count for key, count in asked.counts.items() if key not in ("requests", "retried")) == total + again
    assert asked.counts["requests"] <= requests  # redirects are followed below us
