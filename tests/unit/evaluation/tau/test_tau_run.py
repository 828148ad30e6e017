"""An evaluation over HTTP, with an endpoint that plays tau2's own references: files, scores, failures, and going on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agents import ScriptedAgent, key_of

from faulty_endpoint import faulty_endpoint, refusal
from fission_grpo.environments.tau2.users.server import serving
from fission_grpo.errors import UserError
from fission_grpo.evaluation.out_folder import open_folder
from fission_grpo.evaluation.tau.benchmarks import TAU, TAU2, scripted
from fission_grpo.evaluation.tau.options import Options, check_options, default_folder, plan
from fission_grpo.evaluation.tau.play import NOT_TRIED, EndpointPlayer
from fission_grpo.evaluation.tau.run import EPISODES_FILE, SCORES_FILE, Run, finished_records, play_all, summarise
from fission_grpo.evaluation.tau.summary import TauSummary
from fission_grpo.reports.tau import notes_of, score_grid, write_tau_report
from fission_grpo.types import Message

# Tickets tell the agent which task it is asked about; many tasks share theirs.
TASKS = list({key_of(task): task for task in TAU2.tasks("telecom", "base", True, None)}.values())[:4]
WRONG: Message = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "x", "type": "function", "function": {"name": "no_such_tool", "arguments": "{}"}}],
}
GOOD = Options(
    benchmark=TAU2,
    domain="telecom",
    solo=True,
    split=None,
    model="m",
    limit=4,
    trials=1,
    user="scripted",
    user_model=None,
    temperature=0.0,
    seed=0,
    max_new_tokens=64,
    max_context_tokens=None,
    batch_size=1,
    device=None,
    dtype="auto",
    base_url="http://localhost:1/v1",
    concurrency=2,
    timeout=5.0,
    retries=0,
    out=None,
)


def run_of(url: str, out: Path, **changes: Any) -> Run:
    run = plan(replace(GOOD, base_url=url, out=out, **changes))
    open_folder(run.out, run.settings)
    return replace(run, tasks=TASKS)


def evaluated(run: Run) -> TauSummary:
    return summarise(run, len(play_all(run, lambda done: None)), lambda done: None)


def test_references_solve_everything_and_doing_nothing_does_not(tmp_path: Path) -> None:
    with serving(ScriptedAgent(TASKS)) as url:
        summary = evaluated(run_of(url, tmp_path, trials=2))
    assert [row.value for row in summary.passes] == [1.0, 1.0]
    assert (summary.missing, summary.infrastructure_failures, str(summary.doing_nothing)) == (0, 0, "0.000 (0/4)")
    assert summary.above[0] == 1.0
    scores = json.loads((tmp_path / SCORES_FILE).read_text())
    assert scores["pass"]["pass^2"] == {"value": 1.0, "tasks": 4, "interval": [1.0, 1.0]}
    assert scores["distribution"] and scores["task_file_sha256"] and scores["reward_basis"]
    assert scores["doing_nothing"]["denominator"] == 4


def test_an_error_that_is_made_good_counts_as_recovery(tmp_path: Path) -> None:
    with serving(ScriptedAgent(TASKS, [WRONG])) as url:
        summary = evaluated(run_of(url, tmp_path))
    recovery = {row.metric: str(row.ratio) for row in summary.recovery}
    assert recovery["recovery_rate_task"] == "1.000 (4/4)"
    assert recovery["recovery_rate_call"] == recovery["repeat_rate"] == "0.000 (0/4)"
    assert json.loads((tmp_path / SCORES_FILE).read_text())["mistakes"] == {"unknown_tool": 4}


def test_a_dead_endpoint_is_missing_and_a_second_call_goes_on(tmp_path: Path) -> None:
    with faulty_endpoint([refusal(500, "down")] * 100) as endpoint:
        failures = play_all(run_of(endpoint.url, tmp_path, trials=5), lambda done: None)
    assert len(failures) == 20 and NOT_TRIED in failures.values(), "an endpoint that is down is not tried for ever"
    assert finished_records(tmp_path) == []
    done: list[int] = []
    with serving(ScriptedAgent(TASKS)) as url:
        assert play_all(run_of(url, tmp_path), done.append) == {}
        (tmp_path / EPISODES_FILE).open("a").write('{"record": {"task_id"')  # killed while it wrote
        more = run_of(url, tmp_path, trials=2)
        before = (tmp_path / EPISODES_FILE).read_text().splitlines()[:4]
        play_all(more, done.append)
        again: list[int] = []
        summary = summarise(more, len(play_all(more, again.append)), lambda done: None)
    assert done == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8] and again == [8]
    assert (tmp_path / EPISODES_FILE).read_text().splitlines()[:4] == before
    assert [row.tasks for row in summary.passes] == [4, 4] and summary.missing == 0


def test_an_endpoint_that_refuses_is_the_users_to_mend(tmp_path: Path) -> None:
    with faulty_endpoint([refusal(401, "no such key")] * 10) as endpoint, pytest.raises(UserError, match="OPENAI_API_KEY"):
        play_all(run_of(endpoint.url, tmp_path), lambda done: None)


def test_other_settings_are_refused_for_the_same_folder(tmp_path: Path) -> None:
    run_of("http://localhost:1/v1", tmp_path)
    run_of("http://localhost:2/v1", tmp_path, trials=4, limit=2)  # what may differ
    for changes in ({"temperature": 1.0}, {"model": "n"}, {"split": "test"}, {"solo": False}):
        with pytest.raises(UserError, match="give another folder"):
            run_of("http://localhost:1/v1", tmp_path, **changes)


def test_the_report_says_what_the_score_is_one_of(tmp_path: Path) -> None:
    with serving(ScriptedAgent(TASKS)) as url:
        summary = evaluated(run_of(url, tmp_path))
    notes = " ".join(notes_of(summary))
    assert "solo mode is not the benchmark's own" in notes and "intervals over so few are rough" in notes
    grid = score_grid(summary)
    assert list(grid.heads) == ["pass^1", "doing nothing", "pass^1 above it"]
    write_tau_report(summary, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "doing nothing" in page and "100.00" in page


def test_the_first_version_is_labelled() -> None:
    run = plan(replace(GOOD, benchmark=TAU, domain="airline", solo=False, limit=2))
    assert run.settings["mode"].startswith("tau-bench")
    player = run.player
    assert isinstance(player, EndpointPlayer) and player.max_steps == 30
    assert scripted(TAU).reset(run.tasks[0])[0]["role"] == "system"


MISTAKES = {
    "no model": ({"model": ""}, "--model: missing"),
    "domain": ({"domain": "bank"}, "--domain: found 'bank'; allowed: retail, airline, telecom"),
    "domain of the first version": (
        {"benchmark": TAU, "solo": False},
        "--domain: found 'telecom'; allowed: retail, airline",
    ),
    "split": ({"split": "dev"}, "--split: found 'dev'; allowed: base, train, test"),
    "solo": ({"domain": "retail"}, "--solo: retail cannot be played without a user"),
    "limit": ({"limit": 500}, "--limit: found 500; telecom, split base, has 114 tasks"),
    "address": ({"base_url": "localhost"}, "--base-url: found 'localhost'"),
    "user": ({"solo": False, "user": "bob"}, "--user: found 'bob'; give scripted, or one such as http"),
    "user in solo mode": ({"user": "http://localhost:1/v1"}, "solo mode has no user"),
    "user without a name": ({"solo": False, "user": "http://localhost:1/v1"}, "--user-model: missing"),
    "name without a user": ({"user_model": "gpt-4.1"}, "the user is scripted"),
    "dead user": ({"solo": False, "user": "http://localhost:1/v1", "user_model": "m"}, "user model 'm' at http"),
    "dtype": ({"dtype": "int3"}, "--dtype: found 'int3'"),
    "context of an endpoint": ({"max_context_tokens": 5}, "--max-context-tokens: an endpoint keeps its own"),
}


@pytest.mark.parametrize(("changes", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_sentence_before_anything_is_loaded(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check_options(replace(GOOD, **changes))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_every_kind_of_score_has_a_folder_of_its_own() -> None:
    changes: list[dict[str, Any]] = [{}, {"solo": False}, {"split": "test"}, {"domain": "airline"}, {"model": "a/b"}]
    folders = [default_folder(replace(GOOD, **each)) for each in changes]
    assert len(set(folders)) == len(folders)
    assert str(folders[0]) == "runs/eval/tau2-telecom-solo-m" and folders[-1].name == "tau2-telecom-solo-a_b"
