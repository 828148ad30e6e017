"""A run around which everything fails ends and accounts for every fault. At length: `benchmarks/reliability/faults.py`."""

import socket
from pathlib import Path

import pytest

from injecting.account import account, gaps
from injecting.driving import drive
from injecting.plan import Plan


@pytest.mark.slow
def test_a_run_around_which_everything_fails_ends_and_accounts_for_every_fault(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    plan = Plan(
        run=str(tmp_path / "run"),
        seed=1,
        updates=8,
        save_steps=2,
        port=port,
        endpoint_rate=0.6,
        environment_rate=0.08,
        memory={1: 5, 3: 3},
        kills=(3,),
        full_saves=(4,),
        full_logs=(7,),
        clock={2: -30.0, 5: 48.0, 8: -1.0},
    )
    ends = drive(plan)
    assert [end.status for end in ends] == [-9, 2, 2, 0]
    assert ends[1].said.endswith("then goes on from checkpoint-2")
    assert ends[2].said.endswith("then goes on from checkpoint-6")
    entries = {entry.kind: entry for entry in account(plan, ends)}
    assert [entry for entry in entries.values() if not entry.balanced] == []
    assert gaps(plan) == []
    assert entries["clock"].found == 3
    assert entries["memory"].undone > 0
    assert entries["environment"].found > 0
    for asked_for in ("endpoint", "alignment"):
        assert sum(entry.injected for kind, entry in entries.items() if kind.startswith(asked_for)) > 0
