"""A chat endpoint whose answers depend on the question alone, and that keeps what it was asked."""

import json
import threading
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fission_grpo.simulators.answer import answer_text
from fission_grpo.simulators.cache import request_key
from fission_grpo.types import FailureKind

_KINDS = (FailureKind.RUNTIME_ERROR, FailureKind.WRONG_ARGUMENTS, FailureKind.MISSING_CALL)


class Endpoint:
    """Attributes: `asked`, the keys of the questions by run, in order."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, list[str]] = defaultdict(list)
        self.port = 0

    def url(self, run: str) -> str:
        """The address that one run is given."""
        return f"http://127.0.0.1:{self.port}/{run}/v1"


@contextmanager
def answering() -> Generator[Endpoint]:
    """Serves until the block ends."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.asked[self.path.split("/")[1]].append(request_key(body))
            content = json.dumps(_reply(request_key(body))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # clients are killed, that is what it is for
    endpoint.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def _reply(key: str) -> dict[str, Any]:
    """Three of four are diagnoses, of different kinds; the others cannot be used, so that the chain asks again."""
    number = int(key[:8], 16)
    text = "I am sorry, I cannot help with that."
    if number % 4:
        text = answer_text(_KINDS[number % 3], f"The call failed. Check argument {number % 7} of it.")
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}
