"""Configuration, dataset, agent loop and reward, each alone."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.tokenizer import hf_tokenizer
from verl.workers.rollout.replica import TokenOutput

from conftest import WRONG
from fission_grpo.bundled import MODEL_FOLDER
from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError
from fission_grpo.rewards.base import ScoredStep
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.tasks.rows import messages_of, reference_of, tools_of
from fission_verl.agent_loop import ContinuePrompt
from fission_verl.dataset import StepDataset, step_fields
from fission_verl.reward import compute_score
from fission_verl.trainer import FissionTrainer


def test_verl_finds_the_trainer_by_its_name():
    assert get_trainer_cls("fission_sync") is FissionTrainer


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("fission.recovery_fraction", 0.3, r"0.3 of 16 rows is 5, which must be a multiple"),
        ("fission.max_context_tokens", 4096, r"4096 found, at most .*prompt_length \(1024\)"),
        ("fission.pool_order", "random", r"fission.pool_order: 'random' found"),
        ("fission.poolsize", 8, r"fission.poolsize: 8 found"),
        ("fission.simulators", ["local"], r"fission.simulators: 'local' found"),
        ("fission.simulators", ["endpoint"], r"fission.endpoint: not set"),
        ("fission.signal_filter", "outcome", r"'outcome' found, 'none' is allowed"),
        ("data.gen_batch_size", None, r"data.gen_batch_size: None found, 1 is allowed"),
        ("algorithm.adv_estimator", "gae", r"'gae' found, 'grpo' is allowed"),
        ("algorithm.filter_groups.enable", True, r"filter_groups.enable: True found, False is allowed"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_loaded(make_config: Any, setting: str, value: Any, said: str):
    with pytest.raises(UserError, match=said):
        FissionTrainer(make_config(**{setting: value}))


@pytest.fixture
def dataset(make_config: Any) -> Any:
    config = make_config()
    return StepDataset(config.data.train_files, hf_tokenizer(str(MODEL_FOLDER)), config.data)


def test_every_row_is_rendered_with_its_own_tools(dataset: Any):
    chat = ChatFormat(dataset.tokenizer)
    rows = [dataset[index] for index in range(len(dataset))]
    assert len({row["extra_info"]["tools"] for row in rows}) > 1
    for row in rows:
        fields = step_fields(row)
        assert row["prompt_ids"] == chat.render(messages_of(fields), tools_of(fields))
        reference = reference_of(fields) or ()
        assert row["reward_model"]["ground_truth"] == json.dumps(
            [{"name": call.name, "arguments": call.arguments} for call in reference], ensure_ascii=False
        )


def test_rows_that_are_too_long_are_left_out(make_config: Any, dataset: Any):
    lengths = sorted(len(dataset[index]["prompt_ids"]) for index in range(len(dataset)))
    bound = lengths[len(lengths) // 2]
    config = make_config(**{"data.max_prompt_length": bound})
    shorter = StepDataset(config.data.train_files, dataset.tokenizer, config.data)
    assert len(shorter) == sum(length <= bound for length in lengths) < len(dataset)


def sampled(config: Any, prompt_ids: list[int], ids: list[int]) -> Any:
    """What the agent loop makes of a message `ids` that an engine returns."""

    async def generate(request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any]) -> TokenOutput:
        return TokenOutput(token_ids=ids, log_probs=[-1.0] * len(ids))

    loop = object.__new__(ContinuePrompt)
    loop.rollout_config = config.actor_rollout_ref.rollout
    loop.server_manager = SimpleNamespace(generate=generate)
    loop.tokenizer = hf_tokenizer(str(MODEL_FOLDER))
    return asyncio.run(loop.run({}, prompt_ids=prompt_ids, global_steps=3, raw_prompt=[]))


def test_the_agent_loop_keeps_ids_as_they_are(make_config: Any):
    output = sampled(make_config(), [5, 6, 7], list(range(10, 110)))
    assert output.prompt_ids == [5, 6, 7]
    assert output.response_ids == list(range(10, 74))  # rollout.response_length
    assert output.response_mask == [1] * 64 and output.response_logprobs == [-1.0] * 64
    assert (output.extra_fields["tokens"], output.extra_fields["update"]) == (64, 2)


def test_a_prompt_that_does_not_fit_is_refused_and_never_cut(make_config: Any):
    with pytest.raises(ValueError, match="prompt of 1025 tokens, at most 1024"):
        sampled(make_config(), [5] * 1025, [6])


@pytest.mark.parametrize("right", [True, False])
def test_the_reward_is_our_composite_reward(dataset: Any, right: bool):
    row = next(row for row in map(dataset.__getitem__, range(len(dataset))) if row["reward_model"]["ground_truth"] != "[]")
    reference = reference_of(step_fields(row)) or ()
    text = render_calls(reference) if right else WRONG
    tokens = len(ChatFormat(dataset.tokenizer).tokenize(text))
    info = row["extra_info"] | {"text": text, "tokens": tokens, "update": 75}
    found = compute_score("bfcl", "", row["reward_model"]["ground_truth"], info, w_corr=[2.0, 4.0])
    calls = reference if right else ()
    if right:
        step = ScoredStep("", calls, None, tokens, reference, info["reference_tokens"], tuple(json.loads(info["tools"])))
        weighted = CompositeReward().score(step, 75)
        assert found["score"] == pytest.approx((1.5 * 1 + 3.0 * 1 + 1) / 3) != pytest.approx(weighted.total)
    assert found["acc"] == float(right)
    assert found["correctness"] < 1.0 or right


def test_verls_reward_manager_finds_the_function(make_config: Any):
    manager = load_reward_manager(make_config(), hf_tokenizer(str(MODEL_FOLDER)))
    assert manager.compute_score.args[0] is compute_score
