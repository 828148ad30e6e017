"""The model that is shipped: it loads, it is small, and it stands where reinforcement learning should start."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

from fission_grpo.bundled import MODEL_FOLDER
from fission_grpo.bundled.card import MEANINGS
from fission_grpo.bundled.demonstrations import POLICY_SEED
from fission_grpo.bundled.evaluation import measure
from fission_grpo.bundled.tokenizer import CONTEXT_LENGTH, END, PAD, chat_template, pad_id
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix

MAX_BYTES = 12_000_000


@pytest.fixture(scope="module")
def model() -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM.from_pretrained(MODEL_FOLDER)


@pytest.fixture(scope="module")
def shipped() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(MODEL_FOLDER)


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in MODEL_FOLDER.iterdir()) < MAX_BYTES


def test_tokenizer_model_and_template_agree(model: Qwen3ForCausalLM, shipped: PreTrainedTokenizerFast) -> None:
    assert len(shipped) == model.config.vocab_size
    assert shipped.eos_token == END
    assert shipped.pad_token == PAD
    assert model.generation_config.eos_token_id == shipped.eos_token_id
    assert model.generation_config.pad_token_id == pad_id(shipped)
    assert model.config.max_position_embeddings == shipped.model_max_length == CONTEXT_LENGTH
    assert str(shipped.chat_template).strip() == chat_template().strip()


def test_the_card_states_every_metric() -> None:
    card = (MODEL_FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in card for name in MEANINGS)


def test_it_calls_well_and_recovers_badly(model: Qwen3ForCausalLM, shipped: PreTrainedTokenizerFast) -> None:
    tasks = generate_tasks(96, POLICY_SEED + 2, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(0, 0, 1))
    metrics = measure(model, shipped, tasks)
    values = {name: ratio.value or 0.0 for name, ratio in metrics.items()}
    assert values["format_error_rate"] < 0.05
    assert values["hazard_free_solved"] > 0.7
    assert 0.0 < values["recovery_rate_turn"] < 0.4
