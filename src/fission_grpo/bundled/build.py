"""Builds the bundled policy from nothing: tasks, demonstrations, tokenizer, supervised training, model card.

    python -m fission_grpo.bundled.build --out my-policy

takes about fifteen minutes on one core (14.5 minutes of CPU time, measured). Everything follows from the seeds: a second run
gave the same bytes.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fission_grpo.bundled import MODEL_FOLDER
from fission_grpo.rollout.cpu import configure_cpu

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from fission_grpo.bundled.examples import Demonstration, Example
    from fission_grpo.tasks.task import Split, Task

TRAIN_TASKS = 8_000
UPDATES = 800
TEST_TASKS = 600
"""How many held-out tasks the model card is about, each played once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fission_grpo.bundled.build",
        description="Builds the bundled policy from nothing (about fifteen minutes on one core).",
        epilog="example: python -m fission_grpo.bundled.build --out my-policy --updates 600",
    )
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="folder for the model (default: the package's own)")
    parser.add_argument("--updates", type=int, default=UPDATES, help="supervised updates (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order of examples (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.updates < 1:
        parser.error(f"--updates: found {options.updates}, allowed are positive integers")
    configure_cpu()  # before torch is imported
    build(options.out, options.updates, options.seed)


def build(out: Path, updates: int, seed: int) -> None:
    """Builds, evaluates and writes the policy to the folder `out`."""
    from fission_grpo.bundled.card import write_card
    from fission_grpo.bundled.demonstrations import POLICY_SEED
    from fission_grpo.bundled.evaluation import LIMITS, measure
    from fission_grpo.bundled.examples import encode, render
    from fission_grpo.bundled.model import new_model
    from fission_grpo.bundled.tokenizer import CONTEXT_LENGTH, train_tokenizer

    with _progress() as progress:
        shown = _demonstrate(_generate(TRAIN_TASKS, "train", POLICY_SEED, progress), progress)
        tokenizer = train_tokenizer([render(demonstration.messages, demonstration.tools) for demonstration in shown])
        examples = [encode(demonstration, tokenizer) for demonstration in shown]
        model = new_model(tokenizer, seed)
        tokens = _train(model, tokenizer, examples, updates, seed, progress)
        held_out = _generate(TEST_TASKS, "test", POLICY_SEED + 1, progress)
    metrics = measure(model, tokenizer, held_out)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        "vocabulary": len(tokenizer),
        "context": CONTEXT_LENGTH,
        "updates": updates,
        "tokens": tokens / 1e6,
        "tasks": TRAIN_TASKS,
        "seed": POLICY_SEED,
        "steps": LIMITS.steps_per_turn,
    }
    write_card(out, metrics, facts)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _generate(count: int, split: "Split", seed: int, progress: Progress) -> list["Task"]:
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.tasks.generate import SplitShares, generate_tasks
    from fission_grpo.tasks.mix import Mix

    bar = progress.add_task(f"{split} tasks", total=count)
    shares = SplitShares(train=float(split == "train"), validation=0.0, test=float(split == "test"))
    on_task = partial(progress.advance, bar)
    return generate_tasks(count, seed, BFCLEnvironment(), mix=Mix.COMPACT, shares=shares, on_task=on_task)


def _demonstrate(tasks: list["Task"], progress: Progress) -> list["Demonstration"]:
    from fission_grpo.bundled.demonstrations import demonstrations
    from fission_grpo.environments.bfcl import BFCLEnvironment

    playing = demonstrations(tasks, BFCLEnvironment())
    return list(progress.track(playing, total=len(tasks), description="demonstrations"))


def _train(
    model: "Qwen3ForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    examples: list["Example"],
    updates: int,
    seed: int,
    progress: Progress,
) -> int:
    """Trains and returns the number of tokens that the model has seen."""
    from fission_grpo.bundled.supervised import Training, train

    bar = progress.add_task("training", total=updates)

    def on_update(update: int, loss: float, tokens: int) -> None:
        progress.update(bar, completed=update, description=f"training, loss {loss:.3f}, {tokens / 1e6:.2f}M tokens")

    return train(model, tokenizer, examples, Training(updates=updates, seed=seed), on_update)


if __name__ == "__main__":
    main()
