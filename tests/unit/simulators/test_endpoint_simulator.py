"""The endpoint simulator where the endpoint behaves: what is asked, replayed, counted, spent and kept secret."""

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from failing import failure

from faulty_endpoint import Answer, FaultyEndpoint, chat, faulty_endpoint, late, refusal, says, send
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.simulators.answer import answer_text
from fission_grpo.simulators.base import Regenerating
from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator
from fission_grpo.simulators.prompt import INSTRUCTION
from fission_grpo.types import Failure, FailureKind, Feedback, FeedbackLevel

SENTENCE = "The file was not found. Check its name."
HONEST = says(answer_text(FailureKind.RUNTIME_ERROR, SENTENCE), {"prompt_tokens": 300, "completion_tokens": 20})
BUSY = refusal(503, "busy")
KEY = "sk-a-secret-that-nobody-may-read"


def simulator(url: str, cache: Path | None = None, **options: Any) -> EndpointSimulator:
    chosen: dict[str, Any] = {"retries": 0, "timeout": 5.0, **options}
    return EndpointSimulator(EndpointOptions(url, "m", **chosen), ReplyCache(cache))


def failures(names: Sequence[str]) -> list[Failure]:
    return [failure(name) for name in names]


def reason_of_nothing(asked: EndpointSimulator, names: str) -> str:
    with pytest.raises(InfrastructureError) as raised:
        asked.diagnose(failures(names))
    return str(raised.value)


def test_a_diagnosis() -> None:
    with faulty_endpoint([HONEST]) as endpoint:
        asked = simulator(endpoint.url + "/", max_new_tokens=99)
        feedbacks = asked.diagnose(failures("ab"))
    assert isinstance(asked, Regenerating)
    text = f"error: no b\n{SENTENCE}"
    assert feedbacks[1] == Feedback(text, "endpoint", FeedbackLevel.FULL, FailureKind.RUNTIME_ERROR)
    request = endpoint.requests[0]
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert request["messages"][0]["content"] == INSTRUCTION
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("m", 0.0, 99)
    assert asked.counts == {"requests": 2, "answered": 2}
    assert asked.tokens == {"prompt": 600, "completion": 40}
    assert asked.diagnose([]) == []


@pytest.mark.parametrize("content", [[{"type": "text", "text": "{}"}, {"type": "refusal"}, 3], "<think>Well</think>{}"])
def test_content_in_parts_and_behind_thinking(content: Any) -> None:
    with faulty_endpoint([chat({"content": content})]) as endpoint:
        assert simulator(endpoint.url).diagnose([failure()])[0].reason == "no_message"


@pytest.mark.parametrize("usage", [None, 3, {}, {"prompt_tokens": None, "completion_tokens": "7"}, {"prompt_tokens": -1}])
def test_usage_may_be_anything(usage: Any) -> None:
    with faulty_endpoint([says("{}", usage)]) as endpoint:
        asked = simulator(endpoint.url)
        asked.diagnose([failure()])
    assert not asked.tokens.total()


def test_requests_are_under_way_together() -> None:
    together = threading.Barrier(8)

    def meet(handler: BaseHTTPRequestHandler) -> None:
        together.wait(timeout=5)
        HONEST(handler)

    with faulty_endpoint([meet]) as endpoint:
        feedbacks = simulator(endpoint.url, concurrency=8).diagnose(failures("abcdefgh"))
    assert {feedback.source for feedback in feedbacks} == {"endpoint"}


def test_no_more_requests_are_under_way_than_allowed() -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def counted(handler: BaseHTTPRequestHandler) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        late(0.05, lambda _: None)(handler)
        with lock:
            under_way -= 1
        HONEST(handler)

    with faulty_endpoint([counted]) as endpoint:
        simulator(endpoint.url, concurrency=3).diagnose(failures("abcdefghij"))
    assert most == 3


def test_failures_that_are_the_same_are_asked_once() -> None:
    with faulty_endpoint([HONEST]) as endpoint:
        asked = simulator(endpoint.url)
        assert len(asked.diagnose(failures("aab"))) == 3
    assert asked.counts == {"requests": 2, "answered": 3}


def test_replies_are_replayed_by_another_run(tmp_path: Path) -> None:
    cache = tmp_path / "run" / "replies.jsonl"
    with faulty_endpoint([HONEST, says(answer_text(FailureKind.RUNTIME_ERROR, "Something else is wrong."))]) as endpoint:
        first = simulator(endpoint.url, cache, concurrency=1).diagnose(failures("ab"))
    resumed = simulator(endpoint.url, cache)  # nobody is there any more
    assert resumed.diagnose(failures("ab")) == first
    assert resumed.counts == {"cached": 2}
    [known, unknown] = resumed.diagnose(failures("bc"))
    assert known == first[1]
    assert (unknown.replaced, unknown.reason) == ("endpoint", "connection")


def test_what_was_lost_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    with faulty_endpoint([BUSY, HONEST]) as endpoint:
        reason_of_nothing(simulator(endpoint.url, tmp_path / "replies"), "a")
        assert simulator(endpoint.url, tmp_path / "replies").diagnose(failures("a"))[0].source == "endpoint"


def test_a_second_attempt_is_another_draw() -> None:
    with faulty_endpoint([says("no idea"), HONEST]) as endpoint:
        asked = simulator(endpoint.url)
        assert asked.diagnose([failure()])[0].reason == "no_json"
        assert asked.diagnose_again([failure()])[0].text.endswith(SENTENCE)
        assert asked.diagnose([failure()])[0].reason == "no_json"
    first, second = endpoint.requests
    assert (first["temperature"], second["temperature"]) == (0.0, 1.0)
    assert first["seed"] != second["seed"]
    assert asked.counts == {"requests": 2, "answered": 2, "cached": 1}


def test_what_may_pass_is_tried_again() -> None:
    with faulty_endpoint([BUSY, send("<html>"), HONEST]) as endpoint:
        asked = simulator(endpoint.url, retries=2)
        assert asked.diagnose([failure()])[0].source == "endpoint"
    assert asked.counts == {"requests": 3, "retried": 2, "answered": 1}


def test_retry_after_is_obeyed() -> None:
    with faulty_endpoint([refusal(429, "slow down", {"Retry-After": "1.2"}), HONEST]) as endpoint:
        started = monotonic()
        assert simulator(endpoint.url, retries=1).diagnose([failure()])[0].source == "endpoint"
    assert monotonic() - started > 1.1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_what_does_not_pass_is_not_tried_again(status: int) -> None:
    with faulty_endpoint([refusal(status, "never")]) as endpoint:
        reason_of_nothing(simulator(endpoint.url, retries=5), "a")
    assert len(endpoint.requests) == 1


def test_a_time_out_bounds_all_tries_together() -> None:
    with faulty_endpoint([late(0.4, BUSY)]) as endpoint:
        started = monotonic()
        reason_of_nothing(simulator(endpoint.url, retries=50, timeout=1.0), "a")
        assert monotonic() - started < 2.0


def test_the_budget_is_kept_across_a_resume() -> None:
    with faulty_endpoint([HONEST]) as endpoint:
        asked = simulator(endpoint.url, budget=3)
        asked.diagnose(failures("ab"))
        resumed = simulator(endpoint.url, budget=3)
        resumed.load_state_dict(json.loads(json.dumps(asked.state_dict())))
        answered = [feedback.reason for feedback in resumed.diagnose(failures("cde"))]
        assert sorted(answered, key=str) == [None, "budget", "budget"]
        assert "budget" in reason_of_nothing(resumed, "f")
        assert len(endpoint.requests) == 3
    assert resumed.counts == {"requests": 3, "answered": 3, "budget": 3}
    assert resumed.tokens == {"prompt": 900, "completion": 60}


@pytest.mark.parametrize("saved", [True, False])
def test_a_killed_run_pays_once_and_counts_once(tmp_path: Path, saved: bool) -> None:
    """Asked behind the last checkpoint, or before the first: the reply is replayed, and takes its share of the budget."""

    def begun() -> EndpointSimulator:
        cache = ReplyCache(tmp_path / "replies")
        return EndpointSimulator(EndpointOptions(endpoint.url, "m", concurrency=1, budget=4), cache, own_cache=True)

    with faulty_endpoint([HONEST]) as endpoint:
        killed = begun()
        state = killed.state_dict()
        if saved:
            killed.diagnose(failures("a"))
            state = json.loads(json.dumps(killed.state_dict()))
        killed.diagnose(failures("bc"))
        resumed = begun()
        if saved:
            resumed.load_state_dict(state)
        resumed.diagnose(failures("ab"))
        again = begun()  # killed once more, in the middle of the replay
        again.load_state_dict(json.loads(json.dumps(resumed.state_dict())))
        again.diagnose(failures("cde"))
        assert len(endpoint.requests) == 4
    assert again.counts == Counter(requests=4, answered=4, cached=int(saved), budget=1)
    assert again.tokens == {"prompt": 1200, "completion": 80}


def test_an_endpoint_that_is_down_is_left_alone_and_found_again() -> None:
    broken = True

    def by_hand(handler: BaseHTTPRequestHandler) -> None:
        (BUSY if broken else HONEST)(handler)

    with faulty_endpoint([by_hand]) as endpoint:
        asked = simulator(endpoint.url)
        spoken = [reason_of_nothing(asked, "a") for _ in range(80)]
        tried = [index for index, reason in enumerate(spoken) if "server_error" in reason]
        assert tried == [0, 2, 5, 10, 19, 36, 69]
        assert spoken[1].startswith("endpoint simulator: resting")
        assert asked.counts == {"requests": 7, "server_error": 7, "resting": 73}
        broken = False
        for _ in range(22):
            reason_of_nothing(asked, "a")
        assert asked.diagnose(failures("a"))[0].source == "endpoint"
        assert asked.diagnose(failures("b"))[0].source == "endpoint"
        broken = True
        assert "server_error" in reason_of_nothing(asked, "c")
        assert "resting" in reason_of_nothing(asked, "c")
        assert "server_error" in reason_of_nothing(asked, "c")


def test_replies_are_replayed_while_the_endpoint_rests() -> None:
    with faulty_endpoint([HONEST, BUSY]) as endpoint:
        asked = simulator(endpoint.url)
        asked.diagnose(failures("a"))
        reason_of_nothing(asked, "b")
        known, unknown = asked.diagnose(failures("ab"))
    assert (known.source, unknown.reason) == ("endpoint", "resting")


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (refusal(401, "no such key"), r"status 401 \(no such key\); set OPENAI_API_KEY"),
        (refusal(403, "not yours"), "set OPENAI_API_KEY to a key that may use this model"),
        (refusal(404, "no such model"), "no such model.*check base_url, which as a rule ends in /v1, and model"),
        (refusal(400, "Unsupported parameter"), "status 400.*Unsupported parameter"),
        (refusal(402, "pay"), "quota.*used up"),
        (
            refusal(400, "odd \x1b[31m \ud800\n" + "text " * 999),
            r"status 400 \(odd \[31m  text text .{200,300}\); check model",
        ),
        (send("<html>Login</html>", kind="text/html"), "no chat completion; check base_url"),
        (send("<html>gone</html>", 500), "status 500; check model"),
        (send('{"detail": [{"msg": "field required"}]}', 422), "status 422.*field required"),
        (late(2.0, HONEST), "no reply within 0.5 seconds; check base_url, or raise timeout"),
    ],
)
def test_a_run_does_not_begin_with_an_endpoint_that_cannot_answer(answer: Answer, advice: str) -> None:
    with faulty_endpoint([answer]) as endpoint, pytest.raises(UserError, match=rf"model 'm'.*{advice}") as raised:
        simulator(endpoint.url, timeout=0.5).check()
    assert "\n" not in str(raised.value)


def test_a_run_does_not_begin_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no connection.*check base_url, and that the server runs"):
        simulator("http://127.0.0.1:1/v1").check()
    monkeypatch.setenv("HTTP_PROXY", "nonsense://nowhere")
    with pytest.raises(UserError, match=r"no connection.*nonsense"):
        simulator("http://127.0.0.1:1/v1").check()


@pytest.mark.parametrize("answer", [HONEST, says(""), refusal(429, "slow down")])
def test_a_run_begins_where_the_endpoint_may_answer(answer: Answer) -> None:
    with faulty_endpoint([answer]) as endpoint:
        asked = simulator(endpoint.url)
        asked.check()
        assert (len(endpoint.requests), asked.counts) == (1, {"requests": 1})
        assert [message["role"] for message in endpoint.requests[0]["messages"]] == ["system", "user"]


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"timeout": float("nan")}, {"budget": -1}, {"max_new_tokens": -5}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"{next(iter(options))} is .* must"):
        EndpointOptions("http://127.0.0.1:1/v1", "m", **options)


def test_the_key_is_sent_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    echo = says(answer_text(FailureKind.RUNTIME_ERROR, f"The key {KEY} was not found."))
    with faulty_endpoint([echo, refusal(401, f"wrong key {KEY}")]) as endpoint, caplog.at_level("DEBUG"):
        asked = simulator(endpoint.url, tmp_path / "replies")
        [feedback] = asked.diagnose([failure()])
        spoken = [reason_of_nothing(asked, "b")]
        with pytest.raises(UserError) as raised:
            asked.check()
    assert endpoint.keys == [f"Bearer {KEY}"] * 3
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Evil: 1")
    with pytest.raises(UserError) as broken:
        asked.check()
    kept = [feedback, asked.state_dict(), vars(asked), *spoken, raised.value, broken.value, raised.value.__cause__]
    kept += [(tmp_path / "replies").read_text(), caplog.text, *capfd.readouterr()]
    assert not [text for text in map(str, kept) if KEY in text]


def test_a_word_instead_of_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with faulty_endpoint([says(answer_text(FailureKind.RUNTIME_ERROR, "There is none with this name."))]) as endpoint:
        assert "There is none" in simulator(endpoint.url).diagnose([failure()])[0].text


def test_inside_a_running_loop() -> None:
    async def cell(endpoint: FaultyEndpoint) -> list[Feedback]:
        return simulator(endpoint.url).diagnose([failure()])

    with faulty_endpoint([HONEST]) as endpoint:
        assert asyncio.run(cell(endpoint))[0].source == "endpoint"


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_the_wait_and_what_is_under_way() -> None:
    with faulty_endpoint([late(0.5, BUSY)]) as endpoint:
        asked = simulator(endpoint.url, timeout=60.0, retries=9)
        interrupted: list[float] = []

        def interrupt_the_first_request() -> None:
            while not endpoint.requests:
                threading.Event().wait(0.01)
            interrupted.append(monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt_the_first_request, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            asked.diagnose([failure()])
        assert monotonic() - interrupted[0] < 2.0
        threading.Event().wait(2.0)
        assert len(endpoint.requests) == 1
