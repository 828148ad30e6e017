"""The longer tasks of `benchmarks/long_tasks.py`, made of compact ones."""

import random

import long_tasks
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.proof import prove


def test_a_chain_is_as_proven_as_its_parts() -> None:
    environment = BFCLEnvironment()
    parts = generate_tasks(60, 9, environment, mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    chains = long_tasks.chain(parts, random.Random(0))
    assert len(chains) > 10
    used = [name for task in chains for name in task.id.split("+")]
    assert len(used) == len(set(used)) == long_tasks.PARTS * len(chains)
    assert any(careless.turn > 0 for task in chains for careless in task.careless)
    for task in chains:
        assert len(set(task.classes)) == long_tasks.PARTS
        prove(task, environment)


def test_chains_are_reproducible() -> None:
    parts = generate_tasks(30, 9, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    assert long_tasks.chain(parts, random.Random(1)) == long_tasks.chain(parts, random.Random(1))
    assert long_tasks.chain(parts, random.Random(1)) != long_tasks.chain(parts, random.Random(2))
