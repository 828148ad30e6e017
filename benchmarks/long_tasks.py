"""Longer tasks out of compact ones, and a policy that can play them: where in an episode does recovery pay?

    python benchmarks/long_tasks.py --out long-tasks    # train.jsonl, test.jsonl, probe.jsonl, and policy/

A long task is PARTS compact tasks of different API classes, one after the other in one dialogue: their worlds side by side,
the tools of all. It may err late, and every turn has to be right. The bundled policy has never seen a second class, so it is
first shown such tasks as it was shown compact ones (`bundled/demonstrations.py`): calling well, recovering badly.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fission_grpo.rollout.cpu import configure_cpu
from fission_grpo.tasks.task import Task, save_tasks
from learning_tasks import make_probe

PARTS = 3
SEEDS = {"policy": 26_011_563, "train": 303, "test": 404, "probe": 405}
TASKS = {"policy": 4000, "train": 1500, "test": 400, "probe": 400}
PROBE_CONTEXTS = 300
UPDATES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("long-tasks"), help="folder (default: %(default)s)")
    out: Path = parser.parse_args().out
    configure_cpu(1)
    make_policy(out / "policy")
    save_tasks(long_tasks("train"), out / "train.jsonl")
    save_tasks(long_tasks("test"), out / "test.jsonl")
    make_probe(out / "probe.jsonl", str(out / "policy"), long_tasks("probe"), PROBE_CONTEXTS, context_tokens=1024)


def long_tasks(purpose: str) -> list[Task]:
    """New ones, reproducible from their purpose's seed. Scenarios of the test split are never trained on."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.tasks.generate import SplitShares, generate_tasks
    from fission_grpo.tasks.mix import Mix

    held_out = float(purpose in ("test", "probe"))
    shares = SplitShares(1.0 - held_out, 0.0, held_out)
    count = TASKS[purpose] * (PARTS + 1)  # some are left over where classes are unevenly many
    parts = generate_tasks(count, SEEDS[purpose], BFCLEnvironment(), mix=Mix.COMPACT, shares=shares)
    return chain(parts, random.Random(SEEDS[purpose]))[: TASKS[purpose]]


def chain(tasks: Sequence[Task], generator: random.Random) -> list[Task]:
    """Every task in at most one chain of `PARTS` different classes, until there are too few classes left."""
    waiting, chained = list(tasks), list[Task]()
    generator.shuffle(waiting)
    while True:
        parts: list[Task] = []
        rest: list[Task] = []
        for task in waiting:
            fits = len(parts) < PARTS and not any(set(task.classes) & set(part.classes) for part in parts)
            (parts if fits else rest).append(task)
        if len(parts) < PARTS:
            return chained
        chained.append(_joined(parts))
        waiting = rest


def _joined(parts: Sequence[Task]) -> Task:
    starts = [sum(len(part.turns) for part in parts[:place]) for place in range(len(parts))]
    return replace(
        parts[0],
        id="+".join(part.id for part in parts),
        scenario="+".join(part.scenario for part in parts),
        turns=tuple(turn for part in parts for turn in part.turns),
        classes=tuple(name for part in parts for name in part.classes),
        tools=tuple(name for part in parts for name in part.tools),
        config={name: world for part in parts for name, world in part.config.items()},
        tags=tuple(dict.fromkeys(tag for part in parts for tag in part.tags)),
        careless=tuple(
            replace(careless, turn=start + careless.turn)
            for start, part in zip(starts, parts, strict=True)
            for careless in part.careless
        ),
    )


def make_policy(folder: Path) -> None:
    """The bundled policy after demonstrations of long tasks."""
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from fission_grpo.bundled.demonstrations import demonstrations
    from fission_grpo.bundled.examples import encode
    from fission_grpo.bundled.supervised import Training, train
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.rollout.loading import load_policy_model

    model, tokenizer = load_policy_model("bundled")
    assert isinstance(model, Qwen3ForCausalLM)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    shown = demonstrations(long_tasks("policy"), BFCLEnvironment())
    examples = [encode(demonstration, tokenizer) for demonstration in shown]
    train(model, tokenizer, examples, Training(updates=UPDATES), _tell)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tell(update: int, loss: float, tokens: int) -> None:
    if update % 20 == 0:
        print(f"update {update} of {UPDATES}: loss {loss:.3f}, {tokens:,} tokens", flush=True)


if __name__ == "__main__":
    main()
