"""The live view: for this machine alone, read-only, and up to date."""

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from browsers import chromium, needs_chromium, watch
from playwright.sync_api import expect
from sample_runs import update_metrics, write_run

from fission_grpo.errors import UserError
from fission_grpo.reports import live
from fission_grpo.reports.html import Report
from fission_grpo.reports.live import LivePage, LiveServer


@contextmanager
def serving(run: Path) -> Generator[LiveServer]:
    with LiveServer(LivePage(run), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: LiveServer, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


def append_update(run: Path, step: int) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(update_metrics(step, random.Random(step))) + "\n")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "a", steps=3)


def test_the_page_and_nothing_else(run: Path) -> None:
    with serving(run) as server:
        status, page, headers = ask(server)
        assert status == 200
        assert 'id="browser"' in page
        assert headers["Cache-Control"] == "no-store"
        assert "connect-src &#39;self&#39;" in page
        for path in ("/recipe.yaml", "/metrics.jsonl", "/../../etc/passwd", "/%2e%2e/", "/version/", "/?a=b", "*"):
            assert ask(server, path)[0] == 404


def test_it_listens_on_this_machine_alone(run: Path) -> None:
    with serving(run) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.server_port), timeout=2):
            pass


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(run: Path, method: str) -> None:
    with serving(run) as server:
        status, _, headers = ask(server, method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_says_how_long_the_page_is(run: Path) -> None:
    with serving(run) as server:
        page = ask(server)[1]
        status, body, headers = ask(server, method="HEAD")
        assert (status, body, int(headers["Content-Length"])) == (200, "", len(page.encode()))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "127.0.0.1:{port}.evil.example"]
)
def test_a_name_that_is_not_ours_gets_nothing(run: Path, host: str) -> None:
    with serving(run) as server:
        for path in ("/", "/version"):
            assert ask(server, path, Host=host.format(port=server.server_port))[:2] == (404, "not here\n")
        assert ask(server, "/version", Host=f"localhost:{server.server_port}")[0] == 200


def test_without_a_host_it_gets_nothing(run: Path) -> None:
    with serving(run) as server, socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 404 " in raw.recv(100)


def test_a_page_is_made_once_for_each_state_of_the_logs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def render(report: Report, *, live: str) -> str:
        made.append(1)
        return live

    monkeypatch.setattr(live, "render_report", render)
    page = LivePage(run)
    before = page.version()
    threads = [threading.Thread(target=page.html) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    append_update(run, 4)
    assert page.version() != before
    page.html()
    assert len(made) == 2


def test_a_run_that_has_just_begun_waits(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", groups=0, steps=0)
    for name in ("evaluation.jsonl", "evaluation_start.jsonl", "trajectories/fission_groups.jsonl"):
        (run / name).unlink()
    (run / "metrics.jsonl").write_text('{"step": 1, "rew')
    with serving(run) as server:
        status, page, _ = ask(server)
        assert status == 200
        assert "this page waits for the first" in page
        with (run / "metrics.jsonl").open("a") as log:
            log.write('ard": 1.0}\n')
        assert "this page waits" not in ask(server)[1]


def test_a_log_that_cannot_be_read_is_told(run: Path) -> None:
    (run / "metrics.jsonl").write_text("<b>\n")
    with serving(run) as server:
        status, page, _ = ask(server)
        assert status == 200
        assert "line 1: not readable as JSON" in page
        assert "<b>" not in page


def test_a_port_that_is_taken_is_one_sentence(run: Path) -> None:
    with serving(run) as server, pytest.raises(UserError, match=rf"--port {server.server_port}: .*`--port` names another"):
        LiveServer(LivePage(run), server.server_port)


@pytest.mark.usefixtures("interruptible")
def test_the_command_prints_its_address_and_ends_with_ctrl_c(run: Path) -> None:
    command = [sys.executable, "-m", "fission_grpo", "view", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=20)
    assert (process.returncode, rest.split()[-1], complaints) == (0, "stopped", "")


@needs_chromium
def test_the_page_follows_the_run_and_keeps_what_was_chosen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", steps=3)
    with serving(run) as server, chromium() as browser:
        page = browser.new_page()
        complaints = watch(page)
        page.goto(server.url)
        expect(page.locator("h1")).to_have_text("a: Fission-GRPO, 3 updates")
        page.select_option("#browser [name=type]", "recovery")
        page.fill("#browser [name=q]", "may")
        expect(page.locator("#browser-count")).to_have_text("16 of 32 trajectories")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        chosen = page.locator(".row[aria-selected=true]").inner_text()
        append_update(run, 4)
        expect(page.locator("h1")).to_have_text("a: Fission-GRPO, 4 updates", timeout=15_000)
        expect(page.locator("#browser-count")).to_have_text("16 of 32 trajectories")
        assert page.locator(".row[aria-selected=true]").inner_text() == chosen
        page.uncheck("#live-follow")
        append_update(run, 5)
        expect(page.locator("#live-status")).to_have_text("The run went on.", timeout=15_000)
        expect(page.locator("h1")).to_have_text("a: Fission-GRPO, 4 updates")
        page.click("#live-reload")
        expect(page.locator("h1")).to_have_text("a: Fission-GRPO, 5 updates")
        assert not page.is_checked("#live-follow")
        assert complaints == []
