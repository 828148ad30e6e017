"""Converted tasks are what the trainer itself would derive, and can be trained on as they stand."""

from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from typer.testing import CliRunner

from fission_grpo.chat.parsing import parse_message
from fission_grpo.chat.template import ChatFormat
from fission_grpo.cli import app
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.errors import UserError
from fission_grpo.rewards.composite import CompositeReward, RewardSettings
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.rows import reference_of
from fission_grpo.tasks.step_files import open_steps
from fission_grpo.tasks.task import Task, save_tasks
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.step import StepTasks
from fission_grpo.training.trainer import FissionGRPOTrainer


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return generate_tasks(30, 0, BFCLEnvironment(), mix=Mix.COMPACT)


@pytest.fixture
def task_file(tmp_path: Path, tasks: list[Task]) -> Path:
    save_tasks(tasks, tmp_path / "tasks.jsonl")
    return tmp_path / "tasks.jsonl"


def convert(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["tasks", "convert", *map(str, arguments)], env={"COLUMNS": "300"})
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize("layout", ["steps", "trl", "verl"])
def test_rows_are_the_instances_that_the_trainer_derives(task_file: Path, tasks: list[Task], layout: str):
    _, tokenizer = load_policy_model("bundled")
    trained_on = StepTasks(
        tasks, BFCLEnvironment, ChatFormat(tokenizer), CompositeReward(RewardSettings()), 100_000
    ).instances
    target = task_file.with_name("rows.jsonl" if layout == "steps" else "rows.parquet")
    assert f"{len(trained_on)} rows" in convert(task_file, target, "--to", layout)
    rows = list(open_steps(target).rows())
    assert [(row.task, row.turn, row.step) for row in rows] == [(i.task.id, i.turn, i.step) for i in trained_on]
    assert [(row.messages, row.tools, row.reference) for row in rows] == [
        (instance.messages, instance.tools, instance.reference) for instance in trained_on
    ]


def right_calls(completions: list[Any], reference: list[str], **_: Any) -> list[float]:
    made = [parse_message(completion[0]["content"]).calls for completion in completions]
    return [float(calls == reference_of({"reference": wanted})) for calls, wanted in zip(made, reference, strict=True)]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_a_converted_file_is_trained_on_through_datasets(task_file: Path, tmp_path: Path, name: str):
    convert(task_file, tmp_path / name, "--to", "trl")
    kind = "parquet" if name.endswith("parquet") else "json"
    dataset: Any = load_dataset(kind, data_files=str(tmp_path / name), cache_dir=str(tmp_path / "cache"), split="train")
    args = FissionGRPOConfig(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=48,
        max_steps=3,
        logging_steps=1,
        success_threshold=1.0,
        recovery_generations=4,
        recovery_fraction=0.5,
    )
    model, tokenizer = load_policy_model("bundled")
    trainer = FissionGRPOTrainer(model, right_calls, args, processing_class=tokenizer, train_dataset=dataset)
    expected = {tuple(trainer.chat.render(row.messages, row.tools)) for row in open_steps(tmp_path / name).rows()}
    seen: list[tuple[int, ...]] = []
    tokenize = trainer._tokenize_prompts  # pyright: ignore[reportPrivateUsage]

    def watched(prompts: list[Any]) -> Any:
        ids, images, fields = tokenize(prompts)
        if trainer.batch is not None and trainer.batch.contexts is None:
            seen.extend(map(tuple, ids))
        return ids, images, fields

    trainer._tokenize_prompts = watched  # pyright: ignore[reportPrivateUsage]
    trainer.train()
    assert set(seen) <= expected
    assert sum(log.get("exploration/outcomes", 0) for log in trainer.state.log_history) > 0
    assert sum(log.get("fission/recoveries", 0) for log in trainer.state.log_history) > 0


def test_the_layout_is_told_by_the_suffix_and_what_was_left_out_is_said(task_file: Path, tmp_path: Path):
    assert "(tasks) -> " in convert(task_file, tmp_path / "a.jsonl")
    assert open_steps(tmp_path / "a.jsonl").layout.name == "steps"
    convert(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    assert open_steps(tmp_path / "b.parquet").layout.name == "trl"
    (tmp_path / "more.jsonl").write_text('{"prompt": [{"role": "user", "content": "hi"}], "reference": [], "weight": 1}\n')
    assert "Left out, unknown to this layout: weight" in convert(tmp_path / "more.jsonl", tmp_path / "c.jsonl")


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("x.csv", (), r"OUTPUT .*x.csv: found the suffix '.csv', allowed: .jsonl, .parquet"),
        ("x.jsonl", ("--to", "verl"), r"found the suffix '.jsonl', --to verl is written as .parquet"),
        ("tasks.jsonl", (), "it is the input; name another file"),
    ],
)
def test_an_output_that_cannot_be_is_said(task_file: Path, target: str, options: tuple[str, ...], said: str):
    before = task_file.read_bytes()
    with pytest.raises(UserError, match=said):
        convert(task_file, task_file.with_name(target), *options)
    assert task_file.read_bytes() == before
