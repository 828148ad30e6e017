# pyright: reportPrivateUsage=false
# The loss that is watched is TRL's private one.
"""Methods in real training: what DAPO resamples, MatchTIR weighs, self-corrections imitate, static errors serve."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import drop_in_trainer, recipe_trainer, watched

from fission_grpo.errors import UserError
from fission_grpo.training import trainer as trainer_module
from fission_grpo.training.batch import Generated
from fission_grpo.training.methods.base import Scores
from fission_grpo.training.methods.cleaner import Cleaner
from fission_grpo.training.methods.dapo import DAPO
from fission_grpo.training.methods.matchtir import dual_advantages, message_rewards
from fission_grpo.training.methods.reflection import Reflection
from fission_grpo.training.methods.self_correction import SelfCorrection
from fission_grpo.training.token_counts import loss_tokens


def agreeing_on_odd_numbers(prompts: list[Any], completion_ids: list[list[int]], **_: Any) -> list[bool]:
    """Groups of odd prompts are all wrong; those of even ones have every other rollout right."""
    numbers = [int(prompt[0]["content"].rstrip(".")[-1]) for prompt in prompts]
    return [number % 2 == 0 and index % 2 == 0 for index, number in enumerate(numbers)]


def explored(folder: Path, monkeypatch: pytest.MonkeyPatch, outcome_fn: Any) -> tuple[Generated, list[Any]]:
    """One DAPO update: what exploration gave, and every batch that was generated for it."""
    trainer = drop_in_trainer(folder, method=DAPO(), args=dict(DAPO.settings), outcome_fn=outcome_fn)
    batches: list[Any] = []
    results: list[Any] = []
    watched(trainer, "generate_batch", batches)
    watched(trainer_module, "explore", results)
    try:
        trainer.train()
    finally:
        monkeypatch.undo()
    return results[0][1], batches


def test_dapo_replaces_groups_without_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "explore", trainer_module.explore)
    half, batches = explored(tmp_path, monkeypatch, agreeing_on_odd_numbers)
    assert 1 < len(batches) <= 1 + DAPO.resampling_rounds
    assert len(half.rollouts) == 16
    groups = [half.rollouts[start : start + 4] for start in range(0, 16, 4)]
    assert all(len({rollout.prompt_ids for rollout in group}) == 1 for group in groups)
    found = sum(sum(batch.signal) for (batch,), _ in batches)
    with_signal = [len({rollout.outcome for rollout in group}) == 2 for group in groups]
    assert with_signal == sorted(with_signal, reverse=True)
    assert sum(with_signal) == min(found, 4) > 1
    assert float(half.output["num_items_in_batch"]) == float(loss_tokens(half.output))
    for row, rollout in enumerate(half.rollouts):  # tensors and rollouts were picked alike
        assert half.output["completion_ids"][row][: len(rollout.completion_ids)].tolist() == list(rollout.completion_ids)


def test_dapo_gives_up_after_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "explore", trainer_module.explore)

    def nothing(completion_ids: list[list[int]], **_: Any) -> list[bool]:
        return [False] * len(completion_ids)

    half, batches = explored(tmp_path, monkeypatch, nothing)
    assert len(batches) == 1 + DAPO.resampling_rounds
    first = batches[0][1]
    assert [rollout.completion_ids for rollout in half.rollouts] == [rollout.completion_ids for rollout in first.rollouts]


def test_matchtir_weighs_the_tokens_of_each_message(tmp_path: Path) -> None:
    trainer = recipe_trainer(tmp_path / "run", "method=matchtir", "granularity=episode", "trainer.max_steps=1",
                             "fission.signal_filter=none")  # fmt: skip
    batches: list[Any] = []
    watched(trainer, "generate_batch", batches)
    trainer.train()
    ((_, generated),) = batches
    spread, rollouts = generated.output["advantages"], generated.rollouts
    assert spread.shape == generated.output["completion_ids"].shape
    assert max(len(rollout.spans) for rollout in rollouts) > 1
    for start in range(0, 16, 4):
        group = rollouts[start : start + 4]
        scores = [
            Scores(rollout.reward, rollout.outcome, message_rewards(trainer.method._trace(rollout))) for rollout in group
        ]
        for row, (rollout, expected) in enumerate(zip(group, dual_advantages(scores), strict=True), start):
            assert rollout.trajectory is not None
            steps = rollout.trajectory.steps
            assert [step.completion.ids for step in steps] == [rollout.completion_ids[a:b] for a, b in rollout.spans]
            for (first, last), value in zip(rollout.spans, expected, strict=True):
                assert spread[row, first:last].tolist() == pytest.approx([value] * (last - first))
            assert int((spread[row] != 0).sum()) <= rollout.sampled_tokens


def test_self_correction_is_imitation_of_right_recoveries(tmp_path: Path) -> None:
    """The gradient of its loss is that of the log-likelihood of those tokens, over the tokens of the batch."""
    trainer = drop_in_trainer(
        tmp_path, method=SelfCorrection(), args={"recovery_fraction": 0.5, "max_steps": 2, "learning_rate": 0.0}
    )
    batches: list[Any] = []
    losses: list[Any] = []
    watched(trainer, "generate_batch", batches)
    watched(trainer, "_compute_loss", losses)
    trainer.train()
    recoveries = next(generated for (batch,), generated in batches if batch.contexts is not None)
    assert recoveries.output["advantages"].tolist() == [1.0, 0.0] * 4
    explorations = [generated for (batch,), generated in batches if batch.contexts is None]
    assert not any(generated.output["advantages"].any() for generated in explorations)

    (model, inputs), _ = losses[-1]
    model.zero_grad()
    trainer._compute_loss(model, inputs).backward()
    theirs = {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}
    model.zero_grad()
    tokens = float(inputs["num_items_in_batch"])
    for rollout in recoveries.rollouts:
        if rollout.outcome:
            ids = torch.tensor([[*rollout.prompt_ids, *rollout.completion_ids]])
            logps = (model(ids).logits[:, :-1] / trainer.temperature).log_softmax(-1)
            chosen = logps.gather(2, ids[:, 1:, None])[0, -len(rollout.completion_ids) :]
            (-chosen.sum() / tokens).backward()
    ours = {name: weights.grad for name, weights in model.named_parameters() if weights.grad is not None}
    assert any(gradient.abs().max() > 1e-5 for gradient in theirs.values())
    for name, gradient in theirs.items():
        torch.testing.assert_close(gradient, ours[name], rtol=1e-3, atol=1e-5, msg=name)


def test_static_errors_serve_the_first_failures_only(tmp_path: Path) -> None:
    trainer = recipe_trainer(tmp_path / "run", "method=static_errors", "fission.pool_capacity=6", "trainer.max_steps=3")
    batches: list[Any] = []
    watched(trainer, "generate_batch", batches)
    trainer.train()
    static = [failure.key for failure in trainer.engine.static]
    served = [{context.failure.key for context in batch.contexts} for (batch,), _ in batches if batch.contexts]
    assert len(set(static)) == 6
    assert served == [set(static[:2]), set(static[2:4]), set(static[4:])]  # two groups in each of three updates
    state = trainer.engine.state_dict()
    other = recipe_trainer(tmp_path / "other", "method=static_errors", "fission.pool_capacity=6")
    other.engine.load_state_dict(state)
    assert other.engine.pop(3, 16) == trainer.engine.pop(3, 16)


def test_reflection_is_judged_by_its_second_attempt(tmp_path: Path) -> None:
    trainer = recipe_trainer(tmp_path / "run", "method=reflection")
    batches: list[Any] = []
    watched(trainer, "generate_batch", batches)
    trainer.train()
    recovered = [generated for (batch,), generated in batches if batch.contexts is not None]
    assert recovered
    for generated in recovered:
        for reflected, distilled in zip(generated.rollouts[::2], generated.rollouts[1::2], strict=True):
            assert reflected.context is not None
            assert (reflected.reward, reflected.outcome, reflected.text) == (
                distilled.reward,
                distilled.outcome,
                distilled.text,
            )
            assert len(reflected.spans) == 2 and not reflected.copied
            assert len(distilled.spans) == 1 and distilled.copied
            assert distilled.prompt_ids == reflected.context.failure.prompt_ids
            first, last = reflected.spans[1]
            assert reflected.completion_ids[first:last] == distilled.completion_ids
        mask = generated.output["completion_mask"] * generated.output["tool_mask"]
        assert mask.sum(dim=1).tolist() == [rollout.sampled_tokens for rollout in generated.rollouts]
    logged = [record for record in trainer.state.log_history if "recovery/rows" in record]
    assert logged[0]["recovery/rows"] == 4.0  # of 8 rows
    own = sum(rollout.sampled_tokens for rollout in recovered[0].rollouts[::2])
    assert logged[0]["tokens/recovery_sampled"] == own


@pytest.mark.parametrize("method", [Cleaner(), Reflection()])
def test_methods_that_sample_by_themselves_need_a_rollout_function(tmp_path: Path, method: Any) -> None:
    with pytest.raises(UserError, match=r"^rollout_func: None found"):
        drop_in_trainer(tmp_path, method=method)
