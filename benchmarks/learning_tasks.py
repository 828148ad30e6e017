"""Makes the frozen inputs of the comparisons in this folder: tasks, probe set, and a manifest with their hashes.

    python benchmarks/learning_tasks.py     # benchmarks/learning/{train,test,probe}.jsonl and manifest.json

They were made before any RL. The probe set is half the start policy's own failures, half injected ones, on scenarios that
are neither trained on nor tested.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fission_grpo.rollout.cpu import configure_cpu

if TYPE_CHECKING:
    from fission_grpo.tasks.task import Task

DATA = Path(__file__).parent / "learning"
TRAIN_SEED, TEST_SEED = 101, 202
TRAIN_TASKS, TEST_TASKS, PROBE_CONTEXTS, TASKS_TO_ERR_IN = 1500, 600, 500, 700


def main() -> None:
    configure_cpu(1)
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.tasks.generate import SplitShares, generate_tasks
    from fission_grpo.tasks.mix import Mix
    from fission_grpo.tasks.task import save_tasks

    environment, test_only = BFCLEnvironment(), SplitShares(0.0, 0.0, 1.0)
    train = generate_tasks(TRAIN_TASKS, TRAIN_SEED, environment, mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    test = generate_tasks(TEST_TASKS, TEST_SEED, environment, mix=Mix.COMPACT, shares=test_only)
    save_tasks(train, DATA / "train.jsonl")
    save_tasks(test, DATA / "test.jsonl")
    probing = generate_tasks(TASKS_TO_ERR_IN, TEST_SEED + 1, environment, mix=Mix.COMPACT, shares=test_only)
    make_probe(DATA / "probe.jsonl", "bundled", probing, PROBE_CONTEXTS, context_tokens=768)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(DATA.glob("*.jsonl"))}
    manifest = {"seeds": {"train": TRAIN_SEED, "test": TEST_SEED}, "sha256": hashes}
    (DATA / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def make_probe(path: Path, policy: str, tasks: "Sequence[Task]", count: int, context_tokens: int) -> None:
    """Writes `count` error contexts: half the policy's own failures in these tasks, half injected."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.evaluation.evaluate import evaluate
    from fission_grpo.evaluation.probe_set import (
        contexts_of_careless_calls,
        contexts_of_failures,
        save_probe,
        select_contexts,
    )
    from fission_grpo.rollout.episode import EpisodeLimits
    from fission_grpo.rollout.transformers_policy import load_policy

    played = evaluate(
        *load_policy(policy, "cpu"),
        tasks,
        lambda _: BFCLEnvironment(),
        samples=1,
        limits=EpisodeLimits(steps_per_turn=8, context_tokens=context_tokens),
        max_new_tokens=64,
        keep_trajectories=True,
    )
    own = contexts_of_failures(played.trajectories, tasks)
    injected = contexts_of_careless_calls(tasks, lambda _: BFCLEnvironment())
    half = count // 2
    save_probe([*select_contexts(own, half), *select_contexts(injected, half)], path)


if __name__ == "__main__":
    main()
