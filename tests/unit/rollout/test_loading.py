"""What a model name may be, and what is said when it is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from fission_grpo.errors import UserError
from fission_grpo.rollout.loading import load_policy_model, locate_model
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy

TEMPLATE = "{% for message in messages %}{{ message.content }}<end>{% endfor %}"


def small_tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    words = {word: index for index, word in enumerate(["<unk>", "<end>", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>")
    fast.chat_template = template
    return fast


def small_model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=5, intermediate_size=16, **sizes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small_model().save_pretrained(tmp_path / "model")
    small_tokenizer(TEMPLATE).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_local_folder(folder: Path) -> None:
    model, tokenizer = load_policy_model(str(folder))
    assert model.dtype == torch.float32
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 1
    weights, expected = model.state_dict(), small_model().state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_adapters_are_put_on_their_base(folder: Path, tmp_path: Path) -> None:
    base = Qwen3ForCausalLM.from_pretrained(folder)
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(tmp_path / "adapters"))
    model, _ = load_policy_model(str(tmp_path / "adapters"))
    ids = torch.tensor([[2, 3, 4]])
    assert torch.allclose(model(ids).logits, adapted(ids).logits, atol=1e-5)
    assert any(parameter.requires_grad for parameter in model.parameters())
    policy = TransformersPolicy(model, 1, [1])
    with policy.reusing_prefixes():
        assert len(policy.generate([[2, 3], [2]], Sampling(max_new_tokens=3, seed=0))) == 2


@pytest.mark.parametrize("name", ["./no/such/model", "/no/such/model", "runs/a/checkpoint-3", "no such model"])
def test_a_missing_folder_is_told_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        locate_model(name)


def test_looking_for_a_model_imports_no_torch() -> None:
    code = "import sys, fission_grpo.rollout.loading as l; print(l.locate_model('a/b'), 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == ["a/b", "False"]


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither config"):
        locate_model(str(tmp_path))


def test_a_tokenizer_without_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        load_policy_model(str(folder))


def test_a_name_that_the_hub_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"'nobody/nothing': no folder of that name, and the hub cannot be reached.*give a folder"
    ):
        load_policy_model("nobody/nothing")


def test_a_name_that_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, so that what loading says is what is told."""
    monkeypatch.setattr("fission_grpo.rollout.loading.hub_has", Mock(return_value=True))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="'nobody/nothing': neither a folder here nor a model that could be loaded"):
        load_policy_model("nobody/nothing")


class Bomb:
    def __init__(self, log: Path) -> None:
        self.log = log

    def __reduce__(self) -> Any:
        return Path.touch, (self.log,)


@pytest.mark.parametrize("index", [False, True])
def test_weights_that_are_pickles_are_not_read(folder: Path, tmp_path: Path, index: bool) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Bomb(tmp_path / "exploded")}, folder / "pytorch_model.bin")
    if index:
        (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"weight": "pytorch_model.bin"}}')
    with pytest.raises(UserError, match=r"found pytorch_model.bin, a pickle.*save_pretrained, which writes safetensors"):
        load_policy_model(str(folder))
    assert not (tmp_path / "exploded").exists()


def test_adapters_that_are_pickles_are_not_read(folder: Path, tmp_path: Path) -> None:
    adapted = get_peft_model(Qwen3ForCausalLM.from_pretrained(folder), LoraConfig(target_modules=["q_proj"]))
    adapters = tmp_path / "adapters"
    adapted.save_pretrained(str(adapters), safe_serialization=False)
    torch.save({"weight": Bomb(tmp_path / "exploded")}, adapters / "adapter_model.bin")
    with pytest.raises(UserError, match=r"no adapter_model.safetensors .*found adapter_model.bin, a pickle"):
        load_policy_model(str(adapters))
    assert not (tmp_path / "exploded").exists()


def test_code_of_a_model_is_not_run_and_not_asked_for(folder: Path, tmp_path: Path) -> None:
    """`transformers` would ask on the terminal, and wait for an answer."""
    (folder / "custom.py").write_text(f"open({str(tmp_path / 'exploded')!r}, 'w')\nclass Custom: ...\n")
    own = {"model_type": "custom", "auto_map": {"AutoConfig": "custom.Custom", "AutoModelForCausalLM": "custom.Custom"}}
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | own))
    with pytest.raises(UserError, match="custom code"):
        load_policy_model(str(folder))
    assert not (tmp_path / "exploded").exists()


def test_weights_that_were_cut_short_are_said(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"nor a model that could be loaded \(.*not fully covered"):
        load_policy_model(str(folder))
