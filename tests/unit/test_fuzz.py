"""A slice of the fuzzer: what must hold of any input, and that its canaries see what they are there for."""

import builtins
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliability.fuzzing.plan import batches_of
from reliability.fuzzing.targets import SURFACES
from reliability.fuzzing.worker import Batch, Player, Tally, generator

INPUTS = 20_000


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(autouse=True)
def in_scratch(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(player.scratch)


def settled(player: Player, batch: Batch, *, with_changes: bool = True) -> Tally:
    """What came of a batch. What is loaded at the first time takes long; a hang hangs again."""
    tally = player.play(batch, with_changes=with_changes)
    return player.play(batch, with_changes=with_changes) if tally.faults["hang"] else tally


@pytest.mark.slow
def test_nothing_is_lost(player: Player) -> None:
    total = Tally()
    *others, last = batches_of(INPUTS, seed=1)
    for batch in others:
        total.add(settled(player, batch, with_changes=False))
    total.add(settled(player, last))
    assert total.faults == {"crash": [], "hang": [], "memory": [], "escape": []}
    assert total.inputs == INPUTS and total.masked == 0
    assert 0.05 < total.accepted / total.inputs < 0.95  # it is neither all noise nor all real calls


@settings(max_examples=100)
@given(st.sampled_from(sorted(SURFACES)), st.integers(0, 2**32))
def test_every_surface_takes_any_input(player: Player, target: str, seed: int) -> None:
    assert not any(player.play(Batch(target, 0, 1, seed), with_changes=False).faults.values())


def write_a_file() -> None:
    Path("escaped").write_text("")


def patch_a_builtin() -> None:
    builtins.len = len  # type: ignore[misc]
    builtins.escaped = len  # type: ignore[attr-defined]


ESCAPES: list[Callable[[], object]] = [
    write_a_file,
    lambda: subprocess.run(["true"], check=False),
    lambda: eval("print"),  # noqa: S307
    lambda: __import__("this_module_is_not_there"),
    lambda: os.environ.update({"ESCAPED": "1"}),
    patch_a_builtin,
    lambda: 1 / 0,
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_the_canaries_see_an_escape(player: Player, monkeypatch: pytest.MonkeyPatch, escape: Callable[[], object]) -> None:
    def target(_rng: object) -> object:
        try:
            return escape()
        except ImportError:
            return None

    monkeypatch.setitem(player.targets, "escaping", target)
    found = player.play(Batch("escaping", 0, 1, 0)).faults
    Path("escaped").unlink(missing_ok=True)
    os.environ.pop("ESCAPED", None)
    if hasattr(builtins, "escaped"):
        delattr(builtins, "escaped")
    assert found["escape"] or found["crash"]


def test_an_input_is_a_function_of_its_number() -> None:
    assert generator(1, "parser", 5).random() == generator(1, "parser", 5).random() != generator(1, "parser", 6).random()
