"""The quickstart's whole step, and TRL's own trainer doing the same work: sampling, rewards, update, optimizer."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl.trainer.grpo_trainer import GRPOTrainer

from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.quickstart import Size as QuickstartSize
from fission_grpo.quickstart import quickstart_recipe
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.recipe.methods import MethodName
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import Task, save_tasks
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.rollouts import CONTEXT_COLUMN
from fission_grpo.training.run_folder import RunFolder
from fission_grpo.training.runs import build_trainer, granularity_of
from fission_grpo.training.step import StepTasks
from fission_grpo.training.trainer_config import trainer_config
from trainer_speed.variants import trim_head

TRL = "TRL's GRPOTrainer"
TRIMMED = "TRL's, only completions in its LM head"
OURS = "ours, the same loss (`signal_filter: none`)"
QUICK = "ours, as in the quickstart (`signal_filter: outcome`)"
FISSION = "Fission-GRPO, as in the quickstart"


@dataclass
class Steps:
    """What was measured of one trainer's steps.

    Attributes:
        seconds: of every step but the first of a run.
        sampled: tokens sampled in them.
        overhead: seconds that fission took in them (`overhead_seconds`).
    """

    seconds: list[float] = field(default_factory=list[float])
    sampled: float = 0.0
    overhead: float = 0.0


class _Clock(TrainerCallback):
    """Notes how long every step takes, from its first row to after the optimizer."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._started)


def measure_steps(
    folder: Path, rows: int, tasks: int, updates: int, repetitions: int, progress: Callable[[str], None]
) -> dict[str, Steps]:
    """Short runs of every trainer from the same start policy on the same instances, in turns that change their order.

    Args:
        folder: for tasks and run folders.
        rows: of an update, in four slices and groups of eight.
        tasks: that are generated, with some step instances each.
        updates: of a run; the first is left out, in which libraries warm up and buffers are made.
    """
    size = QuickstartSize(train_tasks=tasks, test_tasks=1, samples=1, updates=updates)
    made = generate_tasks(tasks, 0, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    save_tasks(made, folder / "train.jsonl")
    recipes = {
        TRL: _recipe("grpo", size, folder, rows, "none"),
        TRIMMED: _recipe("grpo", size, folder, rows, "none"),
        OURS: _recipe("grpo", size, folder, rows, "none"),
        QUICK: _recipe("grpo", size, folder, rows, "outcome"),
        FISSION: _recipe("fission", size, folder, rows, "outcome"),
    }
    found: dict[str, Steps] = defaultdict(Steps)
    for repetition in range(repetitions):
        turns = list(recipes.items())
        for number, (name, recipe) in enumerate(turns if repetition % 2 == 0 else turns[::-1]):
            progress(f"{name}: {updates} updates, round {repetition + 1}")
            run = folder / f"run-{repetition}-{number}"
            if name in (TRL, TRIMMED):
                _run_trl(recipe, made, run, name == TRIMMED, found[name])
            else:
                _run_ours(recipe, made, run, found[name])
    return dict(found)


def _recipe(method: MethodName, size: QuickstartSize, folder: Path, rows: int, signal_filter: str) -> Recipe:
    """The quickstart's, without checkpoints, which TRL's runs do not write either."""
    settings = quickstart_recipe(method, size, folder).model_dump(exclude_none=True)
    settings["fission"]["signal_filter"] = signal_filter
    slices = settings["trainer"]["gradient_accumulation_steps"]
    settings["trainer"] |= {"per_device_train_batch_size": rows // slices, "save_strategy": "no"}
    del settings["trainer"]["save_steps"]
    return check_recipe(settings)


def _run_ours(recipe: Recipe, tasks: Sequence[Task], run: Path, into: Steps) -> None:
    clock = _Clock()
    folder = RunFolder.create(run, recipe)
    trainer = build_trainer(recipe, trainer_config(recipe, run), tasks, folder, ())
    trainer.add_callback(clock)
    trainer.train()
    into.seconds += clock.seconds[1:]
    for record in folder.metrics()[1:]:
        into.sampled += sum(count for name, count in record["tokens"].items() if name.endswith("_sampled"))
        into.overhead += record["overhead_seconds"]


def _run_trl(recipe: Recipe, tasks: Sequence[Task], run: Path, trimmed: bool, into: Steps) -> None:
    """TRL's trainer with the same settings, on the same prompts as text, scored by the same function."""
    model, tokenizer = load_policy_model(recipe.model)
    steps = granularity_of(recipe, tasks, ChatFormat(tokenizer))
    sampled: list[int] = []

    def reward(completion_ids: list[list[int]], trainer_state: Any, instance: list[int], **_: Any) -> list[float | None]:
        sampled.append(sum(map(len, completion_ids)))
        columns = {"instance": instance, CONTEXT_COLUMN: [None] * len(instance)}
        return steps.reward(completion_ids, trainer_state, **columns)

    if trimmed:
        trim_head(model)
    clock = _Clock()
    trainer = GRPOTrainer(
        model,
        reward,
        trainer_config(recipe, run),
        processing_class=tokenizer,
        train_dataset=_as_text(steps, tokenizer),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    into.seconds += clock.seconds[1:]
    into.sampled += sum(sampled[1:])


def _as_text(steps: StepTasks | EpisodeTasks, tokenizer: Any) -> Dataset:
    """Rows whose prompts are rendered: TRL would give every row the same tools."""
    chat = ChatFormat(tokenizer)
    rows: list[dict[str, Any]] = []
    for row in steps.dataset().to_list():
        ids = list(chat.render(*steps.prompt(row)))
        text = tokenizer.decode(ids)
        if tokenizer(text=text)["input_ids"] != ids:
            raise ValueError(f"instance {row['instance']}: its prompt has other tokens as a text")
        rows.append({"prompt": text, "instance": row["instance"]})
    return Dataset.from_list(rows)
