"""Result files: what a kill left is mended, what is wrong is named with what was expected."""

import json
from pathlib import Path
from typing import Any

import pytest

from fission_grpo.errors import UserError
from fission_grpo.evaluation.bfcl.results import ResultFolder, find_result_folders
from fission_grpo.evaluation.bfcl.run import logged_turns

LINE = {"id": "multi_turn_base_3", "result": [["ls"]]}


def folder_with(tmp_path: Path, text: str | bytes, name: str = "BFCL_v4_multi_turn_base_result.json") -> ResultFolder:
    path = tmp_path / "model" / "multi_turn" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ResultFolder(tmp_path / "model")


def test_a_line_that_a_kill_cut_is_removed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, json.dumps(LINE) + '\n{"id": "multi_turn_base_4", "resu')
    assert folder.finished() == {"multi_turn_base_3"}
    folder.append("multi_turn_base", {"id": "multi_turn_base_1", "result": []})
    assert folder.finished() == {"multi_turn_base_3", "multi_turn_base_1"}
    folder.sort()
    assert [line["id"] for _, line in folder.entries()] == ["multi_turn_base_1", "multi_turn_base_3"]


def test_a_file_that_holds_only_half_a_line_is_emptied(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b'{"id": "multi_turn_base_4", "r\xc3')
    assert folder.finished() == set()
    assert list(folder.entries()) == []


def test_characters_that_look_like_line_ends_are_text(tmp_path: Path) -> None:
    line = {"id": "multi_turn_base_3", "result": "a\u2028b\x85c"}
    folder = folder_with(tmp_path, json.dumps(line, ensure_ascii=False) + "\n")
    assert [found for _, found in folder.entries()] == [line]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"id": "multi_turn_base_4", "resu\n' + json.dumps(LINE) + "\n", r"line 1: not whole .*remove the line"),
        (json.dumps(LINE) + '\n{"id": "multi_turn_base_4", "resu', r"line 2: not whole"),
        ("[1]\n", r"line 1: found list; expected an object with id and result"),
        ('{"id": "multi_turn_base_1"}\n', r"line 1: found id; expected an object with id and result"),
        ('{"id": "simple_python_3", "result": []}\n', r"field id: found 'simple_python_3'; expected one such as"),
        ('{"id": "multi_turn_base_x", "result": []}\n', r"field id: found 'multi_turn_base_x'"),
        ('{"id": 3, "result": []}\n', r"field id: found 3"),
        ((json.dumps(LINE) + "\n") * 2, r"entry multi_turn_base_3 stands there more than once"),
        ("[" * 100_000 + "\n", r"line 1: not whole"),
        (b"\xff\xfe\n", r"found bytes that are no text"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=r"result file .*BFCL_v4_multi_turn_base_result\.json.*" + sentence):
        list(folder_with(tmp_path, text).entries())


def test_a_folder_of_another_version_is_named(tmp_path: Path) -> None:
    folder_with(tmp_path, json.dumps(LINE), "BFCL_v3_multi_turn_base_result.json")
    with pytest.raises(UserError, match=r"found BFCL_v3_multi_turn_base_result\.json; expected .*BFCL_v4_multi_turn_base"):
        find_result_folders(tmp_path)


def test_files_outside_their_folder_are_no_results(tmp_path: Path) -> None:
    """BFCL v3 wrote them directly below the model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "BFCL_v4_multi_turn_base_result.json").write_text(json.dumps(LINE))
    with pytest.raises(UserError, match=r"expected <model>/multi_turn/"):
        find_result_folders(tmp_path)


def test_no_results_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_result_folders(tmp_path / "nowhere")
    with pytest.raises(UserError, match="found no JSON files"):
        find_result_folders(tmp_path)


def test_a_model_is_found_from_above_and_from_inside(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, json.dumps(LINE) + "\n")
    for root in (tmp_path, folder.path, folder.path / "multi_turn"):
        assert [found.model for found in find_result_folders(root)] == ["model"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "found id, result; expected an inference_log"),
        ({"inference_log": "x"}, "expected an inference_log"),
        ({"inference_log": []}, "found 0 turns in inference_log and 1 in result"),
    ],
)
def test_results_without_their_log_cannot_be_judged(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        logged_turns({**LINE, **more}, ResultFolder(Path("model")))


def test_the_log_says_what_was_executed() -> None:
    turn = {
        "begin_of_turn_query": [],
        "step_0": [{"role": "assistant"}, {"model_response_decoded": ["ls()"]}],
        "step_1": [{"model_response_decoded": []}, {"model_response_decoded": []}],
        "step_2": "not a step",
    }
    assert logged_turns({**LINE, "inference_log": [{"state": 1}, turn]}, ResultFolder(Path("m"))) == [[["ls()"]]]
    assert logged_turns({"id": "x", "result": "Error during inference: x"}, ResultFolder(Path("m"))) is None
