# pyright: reportPrivateUsage=false
# Contract tests look at the private methods that are wrapped.
"""The trainer on the bundled policy and the real environment: contracts with TRL, and what fission promises."""

import inspect
import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import training_runs
from datasets import Dataset
from training_runs import SETTINGS
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fission_grpo.errors import UserError
from fission_grpo.fission import SignalFilter
from fission_grpo.rollout.loading import load_policy_model
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.prefix_sharing.trainer import WRAPPED as WRAPPED_IN_THE_UPDATE
from fission_grpo.training.rollouts import CONTEXT_COLUMN
from fission_grpo.training.trainer import WRAPPED, FissionGRPOTrainer
from fission_grpo.types import CorrectiveContext

BASE: dict[str, Any] = {**SETTINGS, "max_completion_length": 24}
FISSION = {"recovery_generations": 4, "recovery_fraction": 0.5}


def tool(name: str, *parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


def rows(count: int = 8) -> Dataset:
    """A drop-in dataset in which every row has tools of its own."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"Please open note{index}."}],
                "tools": json.dumps([tool("cat" if index % 2 else "cd", "folder" if index % 3 else "file_name")]),
                "reference": json.dumps([{"name": "cat", "arguments": {"file_name": f"note{index}"}}]),
            }
            for index in range(count)
        ]
    )


def length_reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Has variance in nearly every group, so that something is learnt."""
    return [float(len(ids)) + (ids[0] % 7) / 7 for ids in completion_ids]


def nothing_right(completion_ids: list[list[int]], **_: Any) -> list[bool]:
    return [False] * len(completion_ids)


def trainer_of(tmp_path: Path, dataset: Dataset | None = None, **arguments: Any) -> Any:
    model, tokenizer = load_policy_model("bundled")
    settings: dict[str, Any] = {**BASE, **FISSION, **arguments.pop("args", {})}
    arguments.setdefault("outcome_fn", nothing_right)
    return FissionGRPOTrainer(
        model,
        arguments.pop("reward_funcs", length_reward),
        FissionGRPOConfig(output_dir=str(tmp_path), **settings),
        processing_class=tokenizer,
        train_dataset=dataset or rows(),
        error_simulator=arguments.pop("error_simulator", FixedSimulator()),
        **arguments,
    )


def recoveries_into(groups: list[dict[str, Any]]) -> Any:
    """A `record_group` that keeps recovery groups."""

    def record(kind: str, group: dict[str, Any]) -> None:
        if kind == "recovery":
            groups.append(group)

    return record


def test_trl_still_has_what_is_wrapped():
    names = (*WRAPPED, *WRAPPED_IN_THE_UPDATE)
    signatures = {name: list(inspect.signature(getattr(GRPOTrainer, name)).parameters) for name in names}
    scoring = signatures.pop("_get_per_token_logps_and_entropies")
    assert scoring[:6] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"]
    assert scoring[6:8] == ["compute_entropy", "compute_aux_loss"]
    assert signatures == {
        "_generate_and_score_completions": ["self", "inputs"],
        "_tokenize_prompts": ["self", "prompts"],
        "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
        "_prepare_inputs": ["self", "generation_batch"],
        "_compute_loss": ["self", "model", "inputs"],
        "_get_train_sampler": ["self", "dataset"],
        "_save_checkpoint": ["self", "model", "trial"],
    }


def test_without_recovery_it_is_trls_trainer(tmp_path: Path):
    """Same seed, same rows, same weights but for rounding: wrapping changes nothing where fission is off."""
    model, tokenizer = load_policy_model("bundled")
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    plain_rows = rows().remove_columns(["tools", "reference"])
    config = GRPOConfig(output_dir=str(tmp_path / "trl"), max_steps=2, seed=3, **BASE)
    theirs: Any = GRPOTrainer(
        model, cast(Any, length_reward), args=config, processing_class=tokenizer, train_dataset=plain_rows
    )
    theirs.train()
    ours = trainer_of(tmp_path / "ours", plain_rows, args={"max_steps": 2, "seed": 3, "recovery_fraction": 0.0})
    ours.train()
    moved, apart = 0.0, 0.0
    for name, weights in theirs.model.state_dict().items():
        moved += float((weights - before[name]).square().sum())
        apart += float((weights - ours.model.state_dict()[name]).square().sum())
    # Adam makes a step of full length of the rounding error where a gradient is all but zero.
    assert moved > 0
    assert (apart / moved) ** 0.5 < 0.02


def test_recovery_rows_hold_the_sampled_failure_byte_for_byte(tmp_path: Path):
    trainer = trainer_of(tmp_path, args={"max_steps": 3})
    seen: list[tuple[list[list[int]], list[CorrectiveContext]]] = []
    popped: list[list[CorrectiveContext]] = []
    generate = trainer._generate_and_score_completions

    def watched(inputs: Any) -> Any:
        output = generate(inputs)
        if popped:
            prompts = [
                ids[mask.bool()].tolist() for ids, mask in zip(output["prompt_ids"], output["prompt_mask"], strict=True)
            ]
            seen.append((prompts, list(popped[-1])))
        return output

    pop = trainer.engine.pop

    def noted(step: int, batch_rows: int) -> list[CorrectiveContext]:
        popped.append(pop(step, batch_rows))
        return popped[-1]

    trainer.engine.pop = noted
    trainer._generate_and_score_completions = watched
    trainer.train()
    recovered = [(prompts, contexts) for prompts, contexts in seen if contexts]
    assert recovered
    for prompts, contexts in recovered:
        assert len(contexts) == 2
        for context in contexts:
            failure = context.failure
            start = [*failure.prompt_ids, *failure.completion_ids]
            rows_of_context = [ids for ids in prompts if ids == list(context.prompt_ids)]
            assert len(rows_of_context) == 4
            assert rows_of_context[0][: len(start)] == start
            assert FixedSimulator().diagnose([failure])[0].text in trainer.chat.decode(rows_of_context[0])


def test_every_row_is_rendered_with_its_own_tools(tmp_path: Path):
    trainer = trainer_of(tmp_path, args={"max_steps": 1})
    rendered: list[str] = []
    tokenize = trainer._tokenize_prompts

    def watched(prompts: Any) -> Any:
        ids, images, fields = tokenize(prompts)
        for prompt, each in zip(prompts, ids, strict=True):
            number = int(prompt[0]["content"].rstrip(".")[-1])
            name, parameter = "cat" if number % 2 else "cd", "folder" if number % 3 else "file_name"
            text = trainer.processing_class.decode(each)
            assert f"{name}({parameter})" in text
            rendered.append(text)
        return ids, images, fields

    trainer._tokenize_prompts = watched
    trainer.train()
    assert len(rendered) == 16


def test_settings_of_the_chat_template_hold_for_prompts_and_recoveries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, tokenizer = load_policy_model("bundled")
    tokenizer.chat_template = "{% if terse %}<|im_start|>system\nBe terse.<|im_end|>\n{% endif %}" + str(
        tokenizer.chat_template
    )

    def load(_: str) -> tuple[Any, Any]:
        return model, tokenizer

    monkeypatch.setattr(training_runs, "load_policy_model", load)
    settings = {"chat_template_kwargs": {"terse": True}, "recovery_fraction": 0.5, "max_steps": 2}
    kinds: set[str] = set()

    def record(kind: str, _: dict[str, Any]) -> None:
        kinds.add(kind)

    trainer = training_runs.drop_in_trainer(tmp_path, args=settings, record_group=record)
    seen: list[tuple[Any, Any]] = []
    training_runs.watched(trainer, "_tokenize_prompts", seen)
    trainer.train()
    assert kinds == {"exploration", "recovery"}
    prompts = [str(tokenizer.decode(ids)) for _, (batch, _, _) in seen for ids in batch]
    assert all(prompt.startswith("<|im_start|>system\nBe terse.") for prompt in prompts)


def test_siblings_can_get_different_verdicts(tmp_path: Path):
    groups: list[dict[str, Any]] = []

    def alternating(completion_ids: list[list[int]], **columns: Any) -> list[bool]:
        recovering = columns[CONTEXT_COLUMN][0] is not None
        return [recovering and index % 2 == 0 for index in range(len(completion_ids))]

    trainer = trainer_of(tmp_path, args={"max_steps": 3}, outcome_fn=alternating, record_group=recoveries_into(groups))
    trainer.train()
    assert groups
    assert all([each["outcome"] for each in group["recoveries"]] == [True, False, True, False] for group in groups)


@pytest.mark.parametrize("signal_filter", list(SignalFilter))
def test_all_failed_groups_have_no_phantom_gradient(tmp_path: Path, signal_filter: SignalFilter):
    """A shaped reward has variance where all failed: under the filter such groups must not move the policy."""
    trainer = trainer_of(tmp_path, args={"max_steps": 1, "signal_filter": signal_filter.value, "weight_decay": 0.0})
    before = {name: weights.clone() for name, weights in trainer.model.state_dict().items()}
    trainer.train()
    moved = any(not torch.equal(before[name], weights) for name, weights in trainer.model.state_dict().items())
    assert moved is (signal_filter is SignalFilter.NONE)


def test_rows_without_advantage_leave_the_loss_as_it_is(tmp_path: Path):
    trainer = trainer_of(tmp_path, args={"recovery_fraction": 0.0})
    trainer.model.train()
    batch = trainer._generate_and_score_completions([dict(row) for row in cast(Any, rows(4)) for _ in range(4)])
    batch["advantages"][::3] = 0.0
    trainer.current_gradient_accumulation_steps = 1
    smaller = trainer._rows_that_matter(batch)
    assert len(smaller["advantages"]) < len(batch["advantages"])
    gradients: list[list[torch.Tensor]] = []
    for inputs in (batch, smaller):
        trainer.model.zero_grad()
        GRPOTrainer._compute_loss(trainer, trainer.model, inputs).backward()
        gradients.append([parameter.grad.clone() for parameter in trainer.model.parameters()])
    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, part, rtol=1e-4, atol=1e-6)


def test_a_foreign_reward_needs_a_definition_of_success(tmp_path: Path):
    with pytest.raises(UserError, match=r"success_threshold: not set; .*outcome_fn"):
        trainer_of(tmp_path, outcome_fn=None)


def test_success_threshold_decides_without_an_outcome_function(tmp_path: Path):
    groups: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {
        "args": {"max_steps": 3, "success_threshold": 20.0},
        "outcome_fn": None,
        "record_group": recoveries_into(groups),
    }
    trainer_of(tmp_path, **arguments).train()
    assert groups
    for group in groups:
        assert all(each["outcome"] == (each["reward"] >= 20.0) for each in group["recoveries"])


def test_too_few_prompts_for_one_batch_is_said(tmp_path: Path):
    with pytest.raises(UserError, match=r"train_dataset: 3 prompts found, at least 4 allowed"):
        trainer_of(tmp_path, rows(3))


def test_plain_text_prompts_are_said(tmp_path: Path):
    with pytest.raises(UserError, match=r"column prompt: plain text found, chat messages allowed"):
        trainer_of(tmp_path, Dataset.from_list([{"prompt": "Show notes.txt."}] * 8))


def test_rows_without_a_reference_are_failures_by_their_reward(tmp_path: Path):
    """Nothing says what would have been right, so nothing may claim that no call was needed."""
    groups: list[dict[str, Any]] = []
    trainer_of(
        tmp_path, rows().remove_columns("reference"), args={"max_steps": 2}, record_group=recoveries_into(groups)
    ).train()
    assert groups
    assert "superfluous_call" not in {group["failure"]["kind"] for group in groups}
