"""What is said before a model is loaded, and which format fits which model."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from chat.tokenizers_like import tokenizer_like
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from fission_grpo.errors import UserError
from fission_grpo.evaluation.bfcl.entries import choose_entries, task_of
from fission_grpo.evaluation.bfcl.local import choose_endpoint_handler, choose_handler
from fission_grpo.evaluation.bfcl.options import Options, check_options, plan
from fission_grpo.evaluation.bfcl.run import Run
from fission_grpo.evaluation.out_folder import open_folder

GOOD = Options(
    model="bundled",
    format="auto",
    categories=(),
    limit=None,
    samples=1,
    temperature=0.001,
    seed=0,
    max_new_tokens=16,
    backend="transformers",
    batch_size=1,
    device="cpu",
    dtype="auto",
    base_url=None,
    concurrency=1,
    timeout=1.0,
    retries=0,
    out=None,
)
ENDPOINT = replace(GOOD, base_url="http://localhost:9/v1", model="gpt-4o")


def test_good_options_are_silent() -> None:
    check_options(GOOD)
    check_options(ENDPOINT)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (replace(GOOD, model=""), r"--model: missing; give 'bundled'.*--from-results"),
        (
            replace(GOOD, format="chatml"),
            r"--format: found 'chatml'; allowed: auto, qwen-fc, prompting, template, tool-calls",
        ),
        (replace(GOOD, format="tool-calls"), r"--format tool-calls: it is for endpoints; add --base-url"),
        (replace(GOOD, backend="sglang"), r"--backend: found 'sglang'; allowed: transformers, vllm"),
        (replace(GOOD, dtype="fp8"), r"--dtype: found 'fp8'; allowed: auto, float32, bfloat16, float16"),
        (replace(GOOD, categories=("simple",)), r"--category: found 'simple'; allowed: base, miss_func, miss_param"),
        (replace(GOOD, limit=0), r"--limit: found 0; it must be 1 or more"),
        (replace(GOOD, model="no/such/folder"), r"model 'no/such/folder': no such folder"),
        (replace(GOOD, base_url="localhost:8000"), r"--base-url: found 'localhost:8000'; give one such as http://"),
    ],
)
def test_bad_options_are_one_sentence(options: Options, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_options(options)


def test_a_template_needs_a_tokenizer() -> None:
    with pytest.raises(UserError, match=r"--format template: it is for local models; with --base-url take tool-calls"):
        plan(replace(ENDPOINT, format="template"))


def planned(**changes: Any) -> Run:
    return plan(replace(ENDPOINT, **changes))


def opened(run: Run) -> None:
    open_folder(run.out, asdict(run.settings))


def test_a_folder_is_only_continued_with_the_same_settings(tmp_path: Path) -> None:
    opened(planned(out=tmp_path))
    opened(planned(out=tmp_path, limit=3, concurrency=7))  # what may differ
    for changes, sentence in (
        ({"temperature": 1.0}, r"made with temperature 0\.001, not 1\.0; give another folder, or the same setting"),
        ({"model": "other"}, r"made with model 'gpt-4o', not 'other'"),
        ({"samples": 2}, r"made with samples 1, not 2"),
        ({"format": "prompting"}, r"made with format 'tool-calls', not 'prompting'"),
    ):
        with pytest.raises(UserError, match=sentence):
            opened(planned(out=tmp_path, **changes))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    for out in (tmp_path, tmp_path / "train.jsonl"):
        with pytest.raises(UserError, match="it holds something else"):
            opened(planned(out=out))


@pytest.mark.parametrize(("text", "sentence"), [('{"model": "gp', "not whole"), ("[]", "found list"), ("", "not whole")])
def test_settings_that_are_none(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UserError, match=rf"settings\.json: {sentence}"):
        opened(planned(out=tmp_path))


def test_folders_are_named_after_their_model() -> None:
    assert planned(model="Qwen/Qwen3-8B").out == Path("runs/eval/bfcl-Qwen_Qwen3-8B")
    assert planned(model="../up").out.parent == Path("runs/eval")


@pytest.mark.parametrize(("family", "format"), [("Qwen2.5", "template"), ("SmolLM2", "prompting"), ("Qwen3", "template")])
def test_the_format_is_seen_in_the_chat_template(family: str, format: str) -> None:
    assert choose_handler("auto", tokenizer_like(family)).name == format


def test_qwen3s_own_prompt_is_recognised() -> None:
    """The template of the small tokenizer with Qwen3's words about tools."""
    from fission_grpo.evaluation.bfcl.prompts import function_calling_prompt

    function = {"name": "pwd", "description": "", "parameters": {}}
    head = function_calling_prompt([{"role": "user", "content": "u"}], [function]).partition("<tools>\n")[0]

    class Tokenizer:
        def apply_chat_template(self, messages: Any, tools: Any, **_: Any) -> str:
            return head + "<tools>\n..." if tools else "no tools"

    assert choose_handler("auto", Tokenizer()).name == "qwen-fc"


def test_a_chat_template_that_refuses_tool_messages_is_told_before_playing() -> None:
    class Tokenizer:
        def apply_chat_template(self, messages: list[dict[str, Any]], tools: Any, **_: Any) -> str:
            if any(message["role"] == "tool" for message in messages):
                raise TemplateError("Only user and assistant roles are supported!")
            return f"{tools}: {messages[-1]['content']}"

    with pytest.raises(
        UserError, match=r"refuses a dialogue of the benchmark \(Only user and assistant.*prompting, template"
    ):
        choose_handler("template", Tokenizer())


@pytest.mark.parametrize(
    ("model", "format"), [("Qwen/Qwen3-8B", "qwen-fc"), ("qwen-3-14b", "qwen-fc"), ("gpt-4o", "tool-calls")]
)
def test_an_endpoints_format_goes_by_its_models_name(model: str, format: str) -> None:
    assert choose_endpoint_handler("auto", model).name == format


@given(st.integers(1, 900), st.sets(st.sampled_from(["base", "miss_func", "miss_param", "long_context"])))
def test_a_limit_is_spread_evenly(limit: int, categories: set[str]) -> None:
    chosen = choose_entries(sorted(categories), limit)
    assert len(chosen) == min(limit, 200 * (len(categories) or 4))
    counts = [sum(entry.category == category for entry in chosen) for category in {entry.category for entry in chosen}]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("task_id", ["multi_turn_base_200", "simple_python_0", "", "multi_turn_base_"])
def test_an_unknown_entry_is_named(task_id: str) -> None:
    with pytest.raises(UserError, match="no entry of BFCL v4"):
        task_of(task_id)
