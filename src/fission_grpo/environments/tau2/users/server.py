"""A user model as a local OpenAI-compatible server, for everything that wants an endpoint: tau2's own command, for one.

    python -m fission_grpo.environments.tau2.users.server --port 8123

serves the scripted user at http://127.0.0.1:8123/v1.
"""

import argparse
import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

from fission_grpo.environments.tau2.users.base import UserModel
from fission_grpo.environments.tau2.users.scripted import ScriptedUser

LARGEST_REQUEST = 16_000_000
"""Bytes that are read of a request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, user: UserModel, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.user = user

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        user = cast(_Server, self.server).user
        if self.path.rstrip("/") == "/v1/models":
            self._answer(200, {"object": "list", "data": [{"id": user.name, "object": "model", "owned_by": "fission_grpo"}]})
        else:
            self._answer(404, {"error": {"message": f"no such path: {self.path}"}})

    def do_POST(self) -> None:
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._answer(404, {"error": {"message": f"no such path: {self.path}"}})
            return
        try:
            length = int(self.headers.get("Content-Length", 0))
            if length > LARGEST_REQUEST:
                raise ValueError(f"the request has {length} bytes; at most {LARGEST_REQUEST} are read")
            request = json.loads(self.rfile.read(length))
            message = cast(_Server, self.server).user.complete(request["messages"], request.get("tools") or [])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self._answer(400, {"error": {"message": f"not a chat completion request: {error}"}})
            return
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        self._answer(
            200,
            {
                "id": "chatcmpl-user",
                "object": "chat.completion",
                "created": 0,
                "model": cast(_Server, self.server).user.name,
                "choices": [{"index": 0, "finish_reason": finish, "message": message}],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            },
        )

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line a request is no news."""


@contextmanager
def serving(user: UserModel, port: int = 0) -> Generator[str]:
    """Serves a user model on this machine alone, in a thread; yields the base URL.

    Args:
        port: 0 takes a free one.
    """
    with _Server(user, port) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.base_url
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fission_grpo.environments.tau2.users.server",
        description="Serves the scripted user as an OpenAI-compatible endpoint on this machine.",
        epilog="Example: python -m fission_grpo.environments.tau2.users.server --port 8123",
    )
    parser.add_argument("--port", type=int, default=8123, help="port of 127.0.0.1 (default: 8123)")
    with _Server(ScriptedUser(), parser.parse_args().port) as server:
        print(f"serving the scripted user at {server.base_url}; stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
