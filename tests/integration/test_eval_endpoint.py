"""`fission eval bfcl` on a real server: `transformers serve` with the bundled policy. No mock."""

import json
from pathlib import Path
from typing import Any

import pytest
from model_server import free_port, serving
from typer.testing import CliRunner, Result

from fission_grpo.cli import app
from fission_grpo.evaluation.asking import Completion, Decoding, Outcome, Request
from fission_grpo.evaluation.bfcl.endpoint import EndpointBackend
from fission_grpo.evaluation.bfcl.entries import load_entries
from fission_grpo.evaluation.bfcl.handlers import ToolCalls
from fission_grpo.evaluation.bfcl.openai_tools import openai_tools
from fission_grpo.evaluation.endpoint import EndpointSettings
from fission_grpo.rollout.loading import locate_model


def evaluate(url: str, out: Path, *more: str, limit: int = 1) -> Result:
    command = ["eval", "bfcl", "--model", locate_model("bundled"), "--base-url", url, "--out", str(out)]
    command += ["--category", "base", "--limit", str(limit), "--max-new-tokens", "8", "--concurrency", "2", *more]
    return CliRunner().invoke(app, command, env={"COLUMNS": "160"})


def results_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(out.rglob("*_result.json")) for line in file.read_text().splitlines()]


def ask_for_a_call(url: str) -> Outcome:
    """One message of the chat interface, long enough for a whole call: this server answers a call that was cut with an
    internal error. A whole entry at that length takes minutes on a CPU."""
    settings = EndpointSettings(url, locate_model("bundled"), concurrency=1, timeout=120.0, retries=0)
    backend = EndpointBackend(settings, Decoding(0.001, max_new_tokens=96))
    tools = openai_tools([function for function in load_entries("multi_turn_base")[0].functions if function["name"] == "ls"])
    backend.submit(0, Request(messages=({"role": "user", "content": "List the files here."},), tools=tuple(tools)))
    [(_, outcome)] = backend.collect()
    backend.close()
    return outcome


@pytest.mark.slow
def test_a_real_endpoint_by_both_interfaces_and_back_from_the_dead(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    text = ("--format", "qwen-fc", "--retries", "0")

    down = evaluate(url, tmp_path / "text", *text)
    assert "no connection" in str(down.exception), down.output
    assert not (tmp_path / "text").exists()

    with serving(port):
        back = evaluate(url, tmp_path / "text", *text)
        assert back.exit_code == 0, back.output
        answer = ask_for_a_call(url)
    assert isinstance(answer, Completion), answer
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0
    assert [set(call) >= {"id", "function"} for call in answer.tool_calls] == [True] * max(1, len(answer.tool_calls))
    assert isinstance(ToolCalls().read(answer).response, list)
    assert not (tmp_path / "text" / "failures.json").exists()
    [line] = finished = results_in(tmp_path / "text")
    assert line["id"] == "multi_turn_base_0"
    assert all(turn for turn in line["result"])
    assert all(count > 0 for turn in line["input_token_count"] for count in turn)
    assert (tmp_path / "text" / "report.html").is_file()

    again = evaluate(url, tmp_path / "text", *text)
    assert again.exit_code == 0, "nothing is left to ask: results are shown without the server"

    gone = evaluate(url, tmp_path / "text", *text, limit=2)
    assert "no connection" in str(gone.exception), gone.output
    assert results_in(tmp_path / "text") == finished
