"""A small real HTTP server whose answers are scripted: each request takes the next one, the last is repeated."""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class FaultyEndpoint:
    """Attributes: `requests`, the bodies that came in, and `keys`, how each was authorised."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str | None] = field(default_factory=list[str | None])


def send(
    body: str | bytes, status: int = 200, kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = body.encode() if isinstance(body, str) else body
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return send(json.dumps({"error": {"message": message}}), status, headers=headers)


def completion(text: str | None, usage: Any = None) -> Answer:
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    return send(json.dumps({"id": "1", "object": "text_completion", "choices": [choice], "usage": usage}))


def chat(message: Any, usage: Any = None) -> Answer:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return send(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}))


def says(text: str, usage: Any = None) -> Answer:
    return chat({"role": "assistant", "content": text}, usage)


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Promises a long answer, and hangs up in the middle of it."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"te')
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Resets the connection in the middle of an answer."""
    cut(handler)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def without_end(body: bytes, pause: float = 0.0, status: int = 200) -> Answer:
    """Sends `body` again and again, for as long as anybody listens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(body)
            time.sleep(pause)

    return answer


def late(seconds: float, then: Answer) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        then(handler)

    return answer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients that give up are what is tested
            super().handle_error(request, client_address)


@contextmanager
def serving(answer: Answer, port: int = 0) -> Generator[str]:
    """Serves one answer to every request, which finds the body in `handler.body`; yields the base URL.

    Args:
        port: 0 takes a free one.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer(self)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def faulty_endpoint(answers: Sequence[Answer]) -> Generator[FaultyEndpoint]:
    """Serves answers in turn; the last is repeated."""
    endpoint = FaultyEndpoint("")
    lock = threading.Lock()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            following = answers[min(len(endpoint.requests), len(answers) - 1)]
            endpoint.requests.append(json.loads(cast(Any, handler).body))
            endpoint.keys.append(handler.headers["Authorization"])
        following(handler)

    with serving(answer) as endpoint.url:
        yield endpoint
