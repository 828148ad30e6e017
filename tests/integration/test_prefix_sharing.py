# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The update is compared with the private method that it replaces.
"""The packed update against TRL's padded one: log-probabilities, entropies and gradients, on models of transformers."""

import gc
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from torch import Tensor
from training_runs import SETTINGS
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.training.batches import regrouped
from fission_grpo.training.prefix_sharing.attention import TreeAttention
from fission_grpo.training.prefix_sharing.model import IMPLEMENTATION
from fission_grpo.training.prefix_sharing.trainer import PrefixSharingGRPOTrainer

SMALL: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL)),
    "gemma": lambda: GemmaForCausalLM(GemmaConfig(**SMALL)),
}
EAGER: dict[str, Any] = {**SMALL, "attn_implementation": "eager"}
LORA = LoraConfig(
    r=4, lora_alpha=1, target_modules="all-linear", lora_dropout=0.0, init_lora_weights=False, task_type="CAUSAL_LM"
)


def by_length(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [float(len(ids)) for ids in completion_ids]


def trainer_of(model: Any, folder: Path, peft_config: LoraConfig | None = None, **named: Any) -> Any:
    _, tokenizer = load_policy_model("bundled")
    return PrefixSharingGRPOTrainer(
        model,
        by_length,
        GRPOConfig(output_dir=str(folder), **{**SETTINGS, **named}),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": f"Please open note{index}. " * 8} for index in range(16)]),
        peft_config=peft_config,
    )


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A trainer of every model in full, of one with adapters, of one that computes its activations again."""
    torch.manual_seed(0)
    made = {name: trainer_of(make(), tmp_path_factory.mktemp(name)) for name, make in MODELS.items()}
    made["bundled"] = trainer_of(load_policy_model("bundled")[0], tmp_path_factory.mktemp("bundled"))
    made["adapters"] = trainer_of(MODELS["qwen3"](), tmp_path_factory.mktemp("adapters"), LORA)
    again: dict[str, Any] = {"activation_checkpointing": True}
    made["checkpointing"] = trainer_of(MODELS["qwen3"](), tmp_path_factory.mktemp("checkpointing"), **again)
    for trainer in made.values():
        trainer.model.train()
    return made


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Padded ids, mask and width of the completions: groups of a few prompts, some of which continue one another."""
    tokens = st.integers(1, 1000)
    prompts = [draw(st.lists(tokens, min_size=33, max_size=60))]
    for _ in range(draw(st.integers(0, 2))):
        stem = draw(st.sampled_from(prompts))
        prompts.append([*stem[: draw(st.integers(1, len(stem)))], *draw(st.lists(tokens, max_size=50))])
    completion = st.lists(tokens, min_size=1, max_size=12)
    rows = [(prompt, draw(completion)) for prompt in prompts for _ in range(draw(st.integers(2, 4)))]
    width, kept = max(len(prompt) for prompt, _ in rows), max(len(answer) for _, answer in rows)
    ids, mask = (
        torch.zeros(len(rows), width + kept, dtype=torch.long),
        torch.zeros(len(rows), width + kept, dtype=torch.long),
    )
    for row, (prompt, answer) in enumerate(rows):
        ids[row, width - len(prompt) : width + len(answer)] = torch.tensor([*prompt, *answer])
        mask[row, width - len(prompt) : width + len(answer)] = 1
    return ids, mask, kept


Batch = tuple[Tensor, Tensor, int]


def scores_and_gradients(score: Any, trainer: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities and entropies where there are tokens, and all gradients as one vector."""
    ids, mask, kept = batch
    trainer.model.zero_grad()
    log_probs, entropies, _ = score(trainer, trainer.model, ids, mask, kept, compute_entropy=True)
    real = mask[:, -kept:].bool()
    weights = torch.linspace(0.5, 1.5, log_probs.numel()).view_as(log_probs)
    (log_probs * weights)[real].sum().backward()
    gradients = [each.grad.flatten() for each in trainer.model.parameters() if each.grad is not None]
    return log_probs.detach()[real], entropies.detach()[real], torch.cat(gradients)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted.float()).norm() / wanted.float().norm())


@pytest.mark.parametrize("name", [*MODELS, "bundled", "adapters", "checkpointing"])
@settings(
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(batch=batches())
def test_scores_and_gradients_are_those_of_padded_rows(trainers: dict[str, Any], name: str, batch: Batch):
    trainer = trainers[name]
    assert trainer._sharing.able(trainer.model)
    packed = scores_and_gradients(PrefixSharingGRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
    padded = scores_and_gradients(GRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
    torch.testing.assert_close(packed[0], padded[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed[1], padded[1], rtol=1e-4, atol=1e-4)
    assert relative(packed[2], padded[2]) < 1e-5


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_in_half_precision_gradients_are_as_close_as_those_of_padded_rows(tmp_path: Path, seed: int, adapters: bool):
    """Rounding parts both from the exact gradient; packing does not add to it."""
    torch.manual_seed(seed)
    trainer = trainer_of(MODELS["qwen3"](), tmp_path, LORA if adapters else None)
    trainer.model.train()
    ids = torch.randint(1, 1000, (8, 70))
    ids[:, :40], ids[:4, :55], ids[4:, :50] = ids[0, :40], ids[0, :55], ids[4, :50]  # two groups, one forks deeper
    batch = ids, torch.ones_like(ids), 15
    exact = scores_and_gradients(GRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)[2]
    trainer.model.to(torch.bfloat16)
    packed = scores_and_gradients(PrefixSharingGRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)[2]
    padded = scores_and_gradients(GRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)[2]
    assert relative(packed, padded) < 2e-2
    assert relative(packed, exact) < 1.3 * relative(padded, exact)


@pytest.mark.parametrize("name", MODELS)
def test_mixed_precision_packs_too(tmp_path: Path, name: str):
    """Under autocast keys and queries may come in float32 and values in bfloat16, as Qwen3's do."""
    torch.manual_seed(0)
    trainer = trainer_of(MODELS[name](), tmp_path)
    trainer.model.train()
    ids = torch.randint(1, 1000, (8, 70))
    ids[:, :55] = ids[0, :55]
    batch = ids, torch.ones_like(ids), 15
    with torch.autocast("cpu", torch.bfloat16):  # what `bf16=True` does; a process has that setting once
        packed = scores_and_gradients(PrefixSharingGRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
        assert trainer._sharing.able(trainer.model)
        padded = scores_and_gradients(GRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
    assert relative(packed[2], padded[2]) < 2e-2


def test_a_part_of_a_batch_may_have_nothing_to_score(trainers: dict[str, Any]):
    """Completions that ran into the length limit are masked under `mask_truncated_completions`."""
    ids = torch.randint(1, 1000, (4, 70))
    ids[:, :55] = ids[0, :55]
    mask = torch.ones_like(ids)
    mask[2:, 55:] = 0
    parts, _, _ = trainers["llama"]._get_per_token_logps_and_entropies(trainers["llama"].model, ids, mask, 15, batch_size=2)
    whole, _, _ = trainers["llama"]._get_per_token_logps_and_entropies(trainers["llama"].model, ids, mask, 15)
    torch.testing.assert_close(parts[:2], whole[:2], rtol=1e-4, atol=1e-4)


def test_a_model_is_tried_as_it_is_trained_even_if_evaluation_comes_first(tmp_path: Path):
    """Dropout of attention shows in training only."""
    trainer = trainer_of(LlamaForCausalLM(LlamaConfig(**SMALL, attention_dropout=0.1)), tmp_path)
    trainer.model.eval()
    assert not trainer._sharing.able(trainer.model)
    assert not trainer.model.training


UNABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "sliding window": (lambda: MistralForCausalLM(MistralConfig(**SMALL, sliding_window=16)), "sliding_window"),
    "recurrent": (
        lambda: MambaForCausalLM(MambaConfig(vocab_size=1024, hidden_size=48, num_hidden_layers=2, state_size=8)),
        "attention is",
    ),
    "dropout": (lambda: LlamaForCausalLM(LlamaConfig(**SMALL, attention_dropout=0.1)), "dropout"),
    "eager": (
        lambda: LlamaForCausalLM(LlamaConfig(**EAGER)),
        "its attention is 'eager'",
    ),
}


@pytest.mark.parametrize("name", UNABLE)
def test_models_that_cannot_are_trained_padded_and_it_is_said_why(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    make, reason = UNABLE[name]
    model = make()
    before = model.config._attn_implementation
    trainer = trainer_of(model, tmp_path)
    trainer.model.train()
    batch = (torch.arange(240).view(4, 60) % 7, torch.ones(4, 60, dtype=torch.long), 10)
    with caplog.at_level(logging.WARNING):
        ours = scores_and_gradients(PrefixSharingGRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
        trainer._sharing.able(trainer.model)
    assert caplog.text.count("computes shared prefixes for every row") == 1
    assert reason in caplog.text
    assert model.config._attn_implementation == before
    if name != "dropout":
        theirs = scores_and_gradients(GRPOTrainer._get_per_token_logps_and_entropies, trainer, batch)
        torch.testing.assert_close(ours, theirs)


def test_dropout_of_adapters_is_found_before_anything_is_packed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lora = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.05, task_type="CAUSAL_LM")
    trainer = trainer_of(MODELS["llama"](), tmp_path, lora)
    assert not trainer._sharing.able(trainer.model)
    assert "lora_dropout" in caplog.text


def test_nothing_of_it_is_saved_with_the_model(tmp_path: Path):
    trainer = trainer_of(MODELS["llama"](), tmp_path / "run", max_steps=1)
    trainer.train()
    assert trainer.model.config._attn_implementation == IMPLEMENTATION
    trainer.save_model(str(tmp_path / "saved"))
    assert IMPLEMENTATION not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")
    assert LlamaForCausalLM.from_pretrained(tmp_path / "saved").config._attn_implementation == "sdpa"


def test_a_packed_pass_leaves_nothing_behind(trainers: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """What a pass made is freed with its graph, in runs of thousands of updates."""
    made: list[weakref.ref[TreeAttention]] = []
    initialise = TreeAttention.__init__

    def noted(self: TreeAttention, *arguments: Any) -> None:
        initialise(self, *arguments)
        made.append(weakref.ref(self))

    monkeypatch.setattr(TreeAttention, "__init__", noted)
    ids = torch.arange(240).view(4, 60) % 50 + 1
    ids[:, :40] = ids[0, :40]
    batch = ids, torch.ones_like(ids), 15
    score = PrefixSharingGRPOTrainer._get_per_token_logps_and_entropies
    for _ in range(3):
        scores_and_gradients(score, trainers["bundled"], batch)
    gc.collect()
    assert len(made) >= 3
    assert all(each() is None for each in made)


def test_slices_hold_whole_groups_and_every_row_once():
    rows = torch.tensor([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [5, 6], [1, 2], [3, 4]])
    whole = {"prompt_ids": rows, "advantages": torch.arange(8.0), "num_items_in_batch": torch.tensor(99), "none": None}
    halves = [
        {key: value[part] if isinstance(value, Tensor) and value.dim() else value for key, value in whole.items()}
        for part in (slice(0, 4), slice(4, 8))
    ]
    first, second = regrouped(halves)
    assert first["prompt_ids"].tolist() == [[1, 2], [1, 2], [1, 2], [3, 4]]
    assert second["prompt_ids"].tolist() == [[3, 4], [3, 4], [5, 6], [5, 6]]
    assert [*first["advantages"].tolist(), *second["advantages"].tolist()] == [0, 2, 6, 1, 4, 7, 3, 5]
    assert first["num_items_in_batch"] == 99
    assert first["none"] is None


def test_a_step_in_slices_counts_what_it_computes_and_moves_the_policy_as_one_in_whole(tmp_path: Path):
    """Gradient accumulation over regrouped slices: the same update, and groups stay together."""
    moved: list[dict[str, Tensor]] = []
    counted: list[float] = []
    for name, slices in (("whole", 1), ("slices", 4)):
        model, _ = load_policy_model("bundled")
        before = {key: value.clone() for key, value in model.state_dict().items()}
        rows: dict[str, Any] = {"per_device_train_batch_size": 16 // slices, "gradient_accumulation_steps": slices}
        trainer = trainer_of(model, tmp_path / name, max_steps=1, seed=3, optim="sgd", max_grad_norm=0.0, **rows)
        trainer.train()
        moved.append({key: value - before[key] for key, value in model.state_dict().items()})
        counted.append(next(log["tokens/trained"] for log in trainer.state.log_history if "tokens/trained" in log))
    assert 0 < counted[0] <= counted[1]  # the whole also shares what prompts of several groups begin with
    for key, value in moved[0].items():
        torch.testing.assert_close(moved[1][key], value, rtol=1e-3, atol=1e-7, msg=key)
