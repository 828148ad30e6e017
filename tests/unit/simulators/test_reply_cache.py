"""The reply cache: whatever happens to its file, a run goes on, and no wrong reply comes out of it."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from full_disk import no_file_beyond
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.simulators.cache import ReplyCache, request_key

REPLIES = {
    "k1": "The file was not found.",
    "k2": "two\nlines",
    "k3": "Ünïcode \U0001f600",
    "k4": "half a pair \ud800",
    "k5": "",
}


def filled(path: Path) -> Path:
    cache = ReplyCache(path)
    for key, text in REPLIES.items():
        cache.put(key, text)
    assert not cache.counts
    return path


def found(path: Path) -> dict[str, str]:
    cache = ReplyCache(path)
    return {key: text for key in REPLIES if (text := cache.get(key)) is not None}


def test_replies_are_read_again(tmp_path: Path) -> None:
    assert found(filled(tmp_path / "new" / "folder" / "replies.jsonl")) == REPLIES
    assert ReplyCache(tmp_path / "none").get("k1") is None
    assert not (tmp_path / "none").exists()


def test_what_a_reply_took_is_kept_with_it(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    ReplyCache(path).put("k", "text", (300, 20))
    assert ReplyCache(path).tokens("k") == (300, 20)
    line = json.loads(path.read_text())
    del line["tokens"]  # as lines were written once
    path.write_text(json.dumps(line) + "\n")
    assert (ReplyCache(path).get("k"), ReplyCache(path).tokens("k")) == ("text", (0, 0))


def test_in_memory_only() -> None:
    cache = ReplyCache(None)
    cache.put("k", "text")
    assert (cache.get("k"), cache.counts) == ("text", {})


def test_a_key_is_the_request_and_all_of_it() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "é\ud800"}], "temperature": 0.0, "seed": 0}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    others = [{"model": "n"}, {"messages": []}, {"temperature": 1.0}, {"seed": 1}, {"max_tokens": 9}]
    assert len({request_key(body | other) for other in [{}, *others]}) == 6


def test_a_file_cut_anywhere_loses_the_cut_line_alone(tmp_path: Path) -> None:
    content = filled(tmp_path / "whole").read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        cache = ReplyCache(cut)
        kept = dict(list(REPLIES.items())[: content[: length + 1].count(b"\n")])  # a line may lack its line feed alone
        assert found(cut) == kept
        cache.put("k9", "after the cut")
        again = ReplyCache(cut)
        assert again.get("k9") == "after the cut"
        assert again.counts["broken"] == cache.counts["broken"] <= 1
        assert {key: again.get(key) for key in kept} == kept


GARBAGE = [
    b"certainly!",
    b"\xff\xfe\x00\x00",
    b"null",
    b"[]",
    b"3",
    b"{}",
    b'{"key": "k1"}',
    b'{"key": "k1", "text": 3, "check": ""}',
    b'{"key": ["k1"], "text": "x", "check": ""}',
    b'{"key": "k1", "text": "a reply that nobody gave", "check": "0000000000000000"}',
    b'{"key": "k1", "text": "x", "tokens": [1], "check": ""}',
    b'{"key": "k1", "text": "x", "tokens": [1, "many"], "check": ""}',
    b"[" * 100_000,
    b"1" * 100_000,
    b"<<<<<<< HEAD",
]


def test_broken_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = filled(tmp_path / "replies")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*GARBAGE, *lines, b"", b"  ", *GARBAGE]))
    assert found(path) == REPLIES
    assert ReplyCache(path).counts == {"broken": 2 * len(GARBAGE)}


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_damage_gives_a_wrong_reply(damage: bytes, position: int) -> None:
    with TemporaryDirectory() as folder:
        path = filled(Path(folder) / "replies")
        content = bytearray(path.read_bytes())
        content[position : position + len(damage)] = damage
        path.write_bytes(content)
        assert found(path).items() <= REPLIES.items()


def test_the_last_of_several_counts(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies")
    cache.put("k", "first")
    cache.put("k", "second")
    assert (cache.get("k"), ReplyCache(tmp_path / "replies").get("k")) == ("second", "second")


def test_two_processes_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    code = (
        "import sys; from pathlib import Path; from fission_grpo.simulators.cache import ReplyCache\n"
        "cache = ReplyCache(Path(sys.argv[1]))\n"
        "for index in range(300): cache.put(f'{sys.argv[2]}-{index}', sys.argv[2] * 5000)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = ReplyCache(path)
    assert not cache.counts
    assert all(cache.get(f"{name}-{index}") == name * 5000 for name in "ab" for index in range(300))


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    cache = ReplyCache(path)
    cache.put("k1", REPLIES["k1"])
    with no_file_beyond(path.stat().st_size + 40):
        cache.put("k2", REPLIES["k2"])
    cache.put("k3", REPLIES["k3"])
    assert (cache.get("k2"), cache.counts) == (REPLIES["k2"], {"unwritten": 1})
    again = ReplyCache(path)
    assert (again.get("k1"), again.get("k2"), again.get("k3")) == (REPLIES["k1"], None, REPLIES["k3"])
    assert again.counts == {"broken": 1}


@pytest.mark.parametrize("where", ["a folder", "a file/below/it", "x" * 300], ids=["folder", "below a file", "long name"])
def test_a_path_that_is_no_file_stops_nothing(tmp_path: Path, where: str) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").write_text(json.dumps({}))
    cache = ReplyCache(tmp_path / where)
    cache.put("k", "text")
    assert (cache.get("k"), cache.counts) == ("text", {"unread": 1, "unwritten": 1})
