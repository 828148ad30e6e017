"""The simulator's endpoint of a faulty run: a real server that answers, or does one of many other things."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from faulty_endpoint import Answer, cut, hang_up, late, refusal, reset, says, send, serving, without_end
from fission_grpo.simulators.answer import answer_text
from fission_grpo.types import FailureKind
from injecting.ledger import Ledger

HONEST = says(answer_text(FailureKind.RUNTIME_ERROR, "The call failed. Check its arguments."), {"prompt_tokens": -7})
DEAD_FOR = 12
"""Updates in which every question to a dead endpoint is lost."""

FAULTS: dict[str, dict[str, Answer]] = {
    "timeout": {"stalls": late(6.0, HONEST)},
    "rate_limit": {
        "throttles": refusal(429, "slow down"),
        "throttles for an hour": refusal(429, "slow down", {"Retry-After": "3600"}),
        "throttles for ever": refusal(429, "slow down", {"Retry-After": "1e999"}),
    },
    "server_error": {"is loading": refusal(503, "loading"), "breaks": send("<html>oops", 500, "text/html")},
    "garbage": {
        "sends a page": send("<html>Welcome</html>", kind="text/html"),
        "sends half": send('{"choices": [{"message": {"content": "{\\"ki'),
        "sends nothing": send(""),
        "sends something else": send('{"choices": {"0": 1}}'),
    },
    "connection": {"hangs up": hang_up, "cuts": cut, "resets": reset},
    "too_long": {"does not stop": without_end(b'{"choices": "' + b"x" * 65536)},
}
"""By the name under which the endpoint simulator counts it as lost."""


@contextmanager
def failing_endpoint(port: int, seed: int, rate: float, ledger: Ledger) -> Generator[None]:
    """Serves at a port. Between updates it is honest, as the check before a run needs it."""
    asked = 0

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal asked
        asked += 1
        draw = random.Random(f"endpoint/{seed}/{ledger.update}/{asked}")
        dead = ledger.update // DEAD_FOR % 10 == 9
        if not ledger.update or not (dead or draw.random() < rate):
            return HONEST(handler)
        reason = "connection" if dead else draw.choice(list(FAULTS))
        ledger.injected(f"endpoint/{reason}")
        return draw.choice(list(FAULTS[reason].values()))(handler)

    with serving(answer, port):
        yield
