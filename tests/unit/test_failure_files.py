"""Failures as JSON: nothing that a simulator reads is lost, and a broken file is one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from failing import failure
from failure_strategies import failures
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import UserError
from fission_grpo.failure_files import failure_from_json, failure_to_json, load_failures, save_failures
from fission_grpo.simulators.prompt import diagnosis_prompt
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.types import Failure, Snapshot, ToolCall


@given(failures())
def test_json_keeps_every_field_but_states_and_tokens(given_: Failure) -> None:
    back = failure_from_json(json.loads(json.dumps(failure_to_json(given_))))
    assert repr(back) == repr(given_)  # of equal types too: True is not 1, and 1.0 not 1


@given(st.lists(failures(), max_size=4))
def test_a_file_gives_back_what_was_saved(tmp_path_factory: pytest.TempPathFactory, given_: list[Failure]) -> None:
    path = tmp_path_factory.mktemp("f") / "deep" / "failures.jsonl"
    save_failures(given_, path)
    assert load_failures(path) == given_


def test_a_simulator_is_asked_the_same_of_a_read_failure() -> None:
    given_ = replace(
        failure(), snapshot=Snapshot(b"1"), row={"instance": "x"}, reference=(ToolCall("a", {"on": True, "n": 1}),)
    )
    back = failure_from_json(json.loads(json.dumps(failure_to_json(given_))))
    assert diagnosis_prompt(back) == diagnosis_prompt(given_)
    assert RulesSimulator().diagnose([back]) == RulesSimulator().diagnose([given_])
    assert (back.snapshot, back.target, back.row, back.prompt_ids) == (None, None, {}, ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Expecting property name"),
        ("[]", "not readable as a failure"),
        ("7", "not readable as a failure"),
        ('{"task_id": "a"}', "field scenario: Field required"),
        ("[" * 100_000, "not readable as a failure"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "failures.jsonl"
    save_failures([failure()], path)
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(UserError, match=r"failures\.jsonl, line 3: ") as error:
        load_failures(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_kind_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text(json.dumps({**failure_to_json(failure()), "kind": "bad_mood"}) + "\n")
    with pytest.raises(UserError, match=r"line 1: .*field kind: .*malformed_call"):
        load_failures(path)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_failures(tmp_path / "none.jsonl")
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text in UTF-8"):
        load_failures(tmp_path / "weights.bin")
