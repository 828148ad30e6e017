"""What a dry run finds out, without hub, GPU or weights. (Sizes of Qwen3 stand here as published in its configurations.)"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scales import TOOLS, WEIGH, has_pear, task
from transformers import AutoConfig, Qwen3Config
from typer.testing import CliRunner

from fission_grpo.chat.template import ChatFormat
from fission_grpo.cli import app
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.errors import UserError
from fission_grpo.recipe import load_recipe
from fission_grpo.rewards.composite import CompositeReward, RewardSettings
from fission_grpo.rollout.loading import load_policy_model, load_tokenizer, locate_model
from fission_grpo.tasks.task import save_tasks
from fission_grpo.training.dry_run import BatchPlan, DryRun, dry_run, reference_problems
from fission_grpo.training.lengths import Lengths
from fission_grpo.training.memory import ModelSize, Workload, estimate_memory, model_size
from fission_grpo.training.runs import tasks_of
from fission_grpo.training.step import StepTasks
from fission_grpo.types import ToolCall

ROOT = Path(__file__).parents[3]
QWEN3: dict[str, dict[str, Any]] = {
    "1.7b": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
    "4b": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "8b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
}
SMALL = "trainer={per_device_train_batch_size: 16, num_generations: 8, max_steps: 1}"
PUBLISHED = {"1.7b": 1.7e9, "4b": 4.0e9, "8b": 8.2e9}
"""Parameters, as the model cards round them."""


def qwen3_config(size: str) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=151_936, num_key_value_heads=8, head_dim=128, tie_word_embeddings=size != "8b", **QWEN3[size]
    )


@pytest.fixture
def qwen3_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with Qwen3's configuration, and the bundled tokenizer in the place of its own. No weights."""
    qwen3_config(request.param).save_pretrained(tmp_path)
    load_tokenizer(locate_model("bundled")).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def same_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets threads before torch is imported; in this process it was long ago."""
    monkeypatch.setattr("fission_grpo.rollout.cpu.configure_cpu", lambda: 1)


def run(*settings: str, recipe: str = "bfcl_quick") -> DryRun:
    return dry_run(load_recipe(ROOT / "recipes" / f"{recipe}.yaml", settings), Mock())


@pytest.mark.parametrize(("size", "qwen3_folder"), [(size, size) for size in QWEN3], indirect=["qwen3_folder"])
def test_the_papers_recipes(size: str, qwen3_folder: Path) -> None:
    found = run(f"model={qwen3_folder}", "tasks.train.generate.count=20", recipe=f"bfcl_qwen3_{size}")
    assert found.problems == ()
    assert found.plan == BatchPlan(rows=64, group=8, recoveries=64, siblings=8, updates=1)
    assert [(each.name, each.bound, each.over) for each in found.lengths] == [
        ("prompts", 12_800, 0),
        ("reference messages", 4_096, 0),
        ("corrective contexts", 16_384, 0),
    ]
    assert found.size is not None
    assert found.size.parameters == pytest.approx(PUBLISHED[size], rel=0.02)
    full, lora = found.memory["all weights"], found.memory["LoRA, rank 16"]
    assert full.gradients == 4 * found.size.parameters
    assert full.optimizer == 8 * found.size.parameters
    assert lora.gradients < full.gradients / 50


def test_the_papers_recipe_has_as_many_instances_as_the_paper() -> None:
    assert run("model=bundled", recipe="bfcl_qwen3_1.7b").instances == pytest.approx(630, abs=10)


def test_references_that_err_are_problems(tmp_path: Path) -> None:
    """In a task file of one's own."""
    recipe = load_recipe(ROOT / "recipes" / "bfcl_quick.yaml", ["tasks.train.generate.count=40"])
    first, *others = tasks_of(recipe.tasks.train, "train", "bfcl")
    turn = replace(first.turns[0], reference=((ToolCall("cat", {"file_name": "nowhere"}),),))
    save_tasks([replace(first, turns=(turn, *first.turns[1:])), *others], tmp_path / "tasks.jsonl")
    (problem,) = run(f"tasks.train={tmp_path / 'tasks.jsonl'}", SMALL).problems
    assert f'task {first.id}: its reference call cat({{"file_name": "nowhere"}}) errs: ' in problem


def test_references_that_a_verdict_of_ones_own_denies_are_problems() -> None:
    tasks = [replace(task(("Weigh the apple.", [WEIGH])), id=str(number)) for number in range(5)]
    found = reference_problems(tasks, FunctionEnvironment(TOOLS, state={}, verdict=has_pear), Mock())
    assert found[0] == "task 0: its reference does not solve it"
    assert found[-1] == "2 more references err or do not solve their task"


def test_lengths_are_those_of_what_is_trained_on() -> None:
    recipe = load_recipe(ROOT / "recipes" / "bfcl_quick.yaml", ["tasks.train.generate.count=40"])
    bound = run("tasks.train.generate.count=40").lengths[0].median
    found = run("tasks.train.generate.count=40", f"rollout.max_context_tokens={bound}")
    tasks = tasks_of(recipe.tasks.train, "train", "bfcl")
    _, tokenizer = load_policy_model("bundled")
    chat = ChatFormat(tokenizer)
    reward = CompositeReward(RewardSettings())
    trained_on = StepTasks(tasks, BFCLEnvironment, chat, reward, bound)
    assert trained_on.too_long > 0
    prompts, _, contexts = found.lengths
    assert (found.instances, prompts.over) == (len(trained_on.instances), trained_on.too_long)
    everything = StepTasks(tasks, BFCLEnvironment, chat, reward, 10_000).instances
    lengths = [len(chat.render(each.messages, each.tools)) for each in everything]
    assert (prompts.count, prompts.longest) == (len(lengths), max(lengths))
    assert prompts.longest + 20 < contexts.longest < prompts.longest + 120


def test_episodes_are_measured_as_whole_dialogues() -> None:
    found = run("tasks.train.generate.count=20", recipe="bfcl_episode")
    openings, dialogues = found.lengths
    assert (found.instances, openings.count) == (20, 20)
    assert openings.longest < dialogues.longest
    assert dialogues.bound == 2048 - 96
    assert found.work.tokens == 2048 + 96


def test_too_few_instances_are_a_problem() -> None:
    (problem,) = run("tasks.train.generate.count=2").problems
    assert "at least 16 are needed" in problem


def test_a_template_that_leaves_out_tools_is_a_problem(tmp_path: Path) -> None:
    AutoConfig.from_pretrained(locate_model("bundled")).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(locate_model("bundled"))
    tokenizer.chat_template = "{% for message in messages %}{{ message.role }} {{ message.content }}<|end|>{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    (problem,) = run(f"model={tmp_path}", "tasks.train.generate.count=20").problems
    assert "leaves out tools" in problem


@pytest.mark.usefixtures("same_threads")
def test_what_needs_no_model_is_shown_without_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fission_grpo.rollout.loading.hub_has", Mock(return_value=False))
    command = ["train", str(ROOT / "recipes" / "bfcl_qwen3_8b.yaml"), "tasks.train.generate.count=20", "--dry-run"]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "160"})
    assert result.exit_code == 1
    assert "64 = 8 prompts x 8 rollouts" in result.output
    assert "Problem: model 'Qwen/Qwen3-8B': no folder of that name, and the hub cannot be reached" in result.output
    assert "give a folder" in result.output


def test_a_mistake_in_the_recipe_stops_it() -> None:
    with pytest.raises(UserError, match=r"unknown key `trainer.learning_rat`"):
        run("trainer.learning_rat=1")
    with pytest.raises(UserError, match=r"no such file"):
        run("tasks.train=nowhere.jsonl")


@pytest.mark.usefixtures("same_threads")
def test_a_dry_run_writes_nothing_and_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", str(ROOT / "recipes" / "bfcl_quick.yaml"), "tasks.train.generate.count=30", "--dry-run"]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    for shown in ("prompts", "corrective contexts", "128 = 16 prompts x 8 rollouts", "64 = 8 failures x 8", "peak"):
        assert shown in result.output
    assert list(tmp_path.iterdir()) == []


def test_summary_of_lengths() -> None:
    assert Lengths.of("x", [*range(101)], bound=90, setting="s") == Lengths("x", 101, 50, 95, 100, 90, "s", over=10)


def test_updates_of_an_epoch() -> None:
    assert BatchPlan(rows=128, group=8, recoveries=64, siblings=8, updates=1).updates_per_epoch(100) == 6
    assert BatchPlan(rows=128, group=8, recoveries=64, siblings=8, updates=4).updates_per_epoch(100) == 24


def saved_bytes(model: Any, rows: int, tokens: int) -> int:
    """What autograd keeps of one forward pass through the layers, weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept_alive = model.model(torch.randint(3, 100, (rows, tokens)), use_cache=False)
    assert kept_alive is not None
    return sum(kept.values())


@pytest.mark.parametrize("shape", [(2, 64), (1, 256)])
def test_activations_are_what_autograd_keeps(shape: tuple[int, int]) -> None:
    model: Any = load_policy_model("bundled")[0].train()
    rows, tokens = shape
    estimate = estimate_memory(model_size(model.config), Workload(rows, tokens, 0, mixed=False, checkpointing=False))
    assert estimate.activations == pytest.approx(saved_bytes(model, rows, tokens), rel=0.15)


def test_parameters_and_cache_are_counted_exactly() -> None:
    model, _ = load_policy_model("bundled")
    size = model_size(model.config)
    assert size.parameters == sum(weight.numel() for weight in model.parameters())
    estimate = estimate_memory(size, Workload(rows=1, tokens=80, decoded=3, mixed=False, checkpointing=False))
    cache: Any = model(torch.ones(3, 100, dtype=torch.long), use_cache=True).past_key_values
    assert estimate.cache == sum(each.nbytes for layer in cache.layers for each in (layer.keys, layer.values))


def test_what_makes_it_smaller() -> None:
    size = ModelSize(1000, 1000, layers=10, hidden=16, intermediate=64, vocabulary=100, query=16, key_value=8)
    plain = estimate_memory(size, Workload(2, 100, 4, mixed=False, checkpointing=False))
    assert estimate_memory(size, Workload(2, 100, 4, mixed=False, checkpointing=True)).activations < plain.activations / 4
    assert estimate_memory(size, Workload(2, 100, 0, mixed=False, checkpointing=False)).cache == 0
    mixed = estimate_memory(size, Workload(2, 100, 4, mixed=True, checkpointing=False))
    assert mixed.cache == plain.cache / 2
    assert mixed.weights == 1.5 * plain.weights


def test_a_folder_of_adapters(tmp_path: Path) -> None:
    base, tokenizer = load_policy_model("bundled")
    get_peft_model(base, LoraConfig(target_modules=["q_proj"])).save_pretrained(str(tmp_path))
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": "bundled"}))
    tokenizer.save_pretrained(tmp_path)
    found = run(f"model={tmp_path}", "tasks.train.generate.count=20")
    assert (found.problems, len(found.lengths)) == ((), 3)
