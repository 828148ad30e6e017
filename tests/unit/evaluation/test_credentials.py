"""An endpoint that repeats the key it was given: the key is in nothing that is kept, shown or raised."""

from typing import Any

import pytest

from faulty_endpoint import Answer, chat, faulty_endpoint, refusal, says
from fission_grpo.credentials import address_fault
from fission_grpo.environments.tau2.users.endpoint import EndpointUser
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.evaluation.asking import Decoding, Request
from fission_grpo.evaluation.endpoint import Endpoint, EndpointSettings

KEY = "sk-canary-0123456789"
CALL = {"id": "1", "type": "function", "function": {"name": "ls", "arguments": f'{{"path": "{KEY}"}}'}}
ECHOES: list[Answer] = [
    says(f"Your key is {KEY}."),
    chat({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    refusal(400, f"bad key {KEY}"),
    refusal(401, f"wrong key {KEY}"),
]


@pytest.mark.parametrize("echo", ECHOES, ids=["text", "call", "rejected", "refused"])
def test_the_key_is_sent_and_not_taken_back(echo: Answer, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    told: list[Any] = []
    with faulty_endpoint([echo]) as endpoint, caplog.at_level("INFO"):
        settings = EndpointSettings(endpoint.url, "m", concurrency=1, timeout=10.0, retries=0)
        asked, user = Endpoint(settings, Decoding(0.0, 8)), EndpointUser(endpoint.url, "m", retries=0)
        for ask in (
            lambda: asked.answer(Request(messages=({"role": "user", "content": "Hello."},))),
            lambda: user.complete([{"role": "user", "content": "Hello."}], ()),
        ):
            try:
                told.append(ask())
            except (UserError, InfrastructureError) as error:
                told.append(error)
        asked.close()
    assert set(endpoint.keys) == {f"Bearer {KEY}"}
    assert len(told) == 2
    assert not [each for each in map(str, [*told, caplog.text, *capfd.readouterr()]) if KEY in each]


def test_addresses_with_secrets_are_refused_without_repeating_them() -> None:
    for make in (
        lambda: EndpointUser("http://me:hunter2@host/v1", "m"),
        lambda: EndpointSettings("http://me:hunter2@host/v1", "m"),
    ):
        with pytest.raises(UserError, match="user name or password") as raised:
            make()
        assert "hunter2" not in str(raised.value)
    assert address_fault("https://host.example:8000/v1") is None
