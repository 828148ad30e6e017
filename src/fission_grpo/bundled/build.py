"""Builds the bundled policy from nothing: tasks, demonstrations, tokenizer, supervised training, model card.

    python -m fission_grpo.bundled.build --out my-policy

takes about ten minutes on one core. Everything follows from the seed.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fission_grpo.rollout.cpu import configure_cpu

if TYPE_CHECKING:
    from fission_grpo.bundled.evaluation import Scores

TRAIN_TASKS = 9_000
TEST_TASKS = 300
"""How many held-out tasks the model card is about, each played once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fission_grpo.bundled.build",
        description="Builds the bundled policy from nothing (about ten minutes on one core).",
        epilog="example: python -m fission_grpo.bundled.build --out my-policy --updates 600",
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model", help="folder for the model")
    parser.add_argument("--updates", type=int, default=900, help="supervised updates (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    options = parser.parse_args(arguments)
    configure_cpu()  # before torch is imported
    build(options.out, options.updates, options.seed)


def build(out: Path, updates: int, seed: int) -> None:
    """Builds, evaluates and writes the policy to `out`."""
    from fission_grpo.bundled.demonstrations import POLICY_SEED, demonstrations
    from fission_grpo.bundled.evaluation import evaluate
    from fission_grpo.bundled.examples import encode, render
    from fission_grpo.bundled.model import new_model
    from fission_grpo.bundled.supervised import Training, train
    from fission_grpo.bundled.tokenizer import train_tokenizer
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.tasks.generate import SplitShares, generate_tasks

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("tasks", total=TRAIN_TASKS)
        environment = BFCLEnvironment()
        tasks = generate_tasks(
            TRAIN_TASKS, POLICY_SEED, environment, shares=SplitShares(1, 0, 0), on_task=lambda: progress.advance(bar)
        )
        shown = list(progress.track(demonstrations(tasks, environment), total=len(tasks), description="demonstrations"))
        texts = [render(demonstration) for demonstration in shown]
        tokenizer = train_tokenizer(texts)
        examples = [encode(demonstration, tokenizer) for demonstration in shown]
        model = new_model(tokenizer, seed)
        bar = progress.add_task("training", total=updates)

        def on_update(update: int, loss: float, tokens: int) -> None:
            progress.update(bar, completed=update, description=f"training, loss {loss:.3f}, {tokens / 1e6:.2f}M tokens")

        train(model, tokenizer, examples, Training(updates=updates, seed=seed), on_update)
        held_out = generate_tasks(TEST_TASKS, POLICY_SEED + 1, environment, shares=SplitShares(0, 0, 1))
        result = evaluate(model, tokenizer, held_out)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_card(out, result, sum(p.numel() for p in model.parameters()), updates)


def write_card(out: Path, scores: "Scores", parameters: int, updates: int) -> None:
    """The model card, with what was measured."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in _rows(scores))
    text = _CARD.format(parameters=parameters / 1e6, updates=updates, rows=rows, tasks=scores.solved.total)
    (out / "README.md").write_text(text, encoding="utf-8")
    (out / "scores.json").write_text(json.dumps(asdict(scores), indent=1) + "\n", encoding="utf-8")


def _rows(scores: "Scores") -> list[tuple[str, str]]:
    return [(name, str(getattr(scores, name))) for name in asdict(scores)]


_CARD = """# card {parameters} {updates} {tasks}
{rows}
"""

if __name__ == "__main__":
    main()
