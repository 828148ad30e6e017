"""The report of a run that goes on, served to browsers on this machine: read-only, and made anew when its logs have changed.

    GET /          the page
    GET /version   changes whenever a log does; the page asks for it

Nobody else can ask. The server listens on 127.0.0.1 alone, and answers only who calls it so: a page from elsewhere whose
name was made to point here (DNS rebinding) sends that name.
"""

import hashlib
import sys
import threading
from collections.abc import Callable
from functools import partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.reports.data import EVALUATION_FILE, START_FILE, load_runs
from fission_grpo.reports.html import render_report, run_report
from fission_grpo.training.run_folder import LOGS

ADDRESS = "127.0.0.1"
_READ = ("recipe.yaml", *LOGS, START_FILE, EVALUATION_FILE)
"""Files of a run folder that the page shows."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest stands in the page, where files have it too
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LivePage:
    """The page of one run, kept until a log changes."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._kept: tuple[str, str] | None = None

    def version(self) -> str:
        """Differs after every change of a log's size or time."""
        digest = hashlib.sha256()
        for name in _READ:
            try:
                state = (self._run / name).stat()
            except FileNotFoundError:
                continue
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def html(self) -> str:
        """The page. A log that cannot be read (it may be written just now) is told in a page that asks again."""
        with self._lock:  # of several readers, one has it made
            version = self.version()
            if self._kept is None or self._kept[0] != version:
                self._kept = (version, self._made(version))
            return self._kept[1]

    def _made(self, version: str) -> str:
        runs = load_runs([self._run])
        title = f"{self._run.resolve().name}: {runs[0].label}, {_progress(len(runs[0].steps))}"
        return render_report(run_report(runs, title), live=version)


class LiveServer(ThreadingHTTPServer):
    """Serves one page on 127.0.0.1.

    Args:
        port: 0 takes a free one.

    Raises:
        UserError: the port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        try:
            super().__init__((ADDRESS, port), partial(_Handler, page))
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror}; `--port` names another, 0 takes any free one") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that left before its answer came is no error; others are printed as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    """One request. Methods other than GET and HEAD, whatever their names, are refused."""

    timeout = 30  # seconds for a client that says nothing
    server_version, sys_version = "fission-view", ""

    def __init__(self, page: LivePage, request: Any, client_address: Any, server: BaseServer) -> None:
        self._page = page
        super().__init__(request, client_address, server)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the address, and the page asks all the time."""

    def _answer(self) -> None:
        contents = {"/": ("text/html", self._html), "/version": ("text/plain", self._page.version)}
        if not self._is_for_us() or self.path not in contents:
            self._send(404, "text/plain", "not here\n")
            return
        kind, content = contents[self.path]
        self._send(200, kind, content())

    def _html(self) -> str:
        try:
            return self._page.html()
        except UserError as error:
            return _UNREADABLE.format(error=escape(str(error)))

    def _is_for_us(self) -> bool:
        assert isinstance(self.server, LiveServer)
        port = self.server.server_port
        return self.headers.get_all("Host", []) in ([f"{ADDRESS}:{port}"], [f"localhost:{port}"])

    def _refuse(self) -> None:
        self._send(405, "text/plain", "read-only: GET or HEAD\n", Allow="GET, HEAD")

    def _send(self, status: int, kind: str, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_UNREADABLE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3"><title>waiting</title>
<p>This run cannot be read at present; the page tries again every three seconds.</p><p>{error}</p></html>
"""


def _progress(updates: int) -> str:
    return f"{updates} update{'' if updates == 1 else 's'}" if updates else "waiting for its first update"
