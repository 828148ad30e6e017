"""Whole steps through verl's controller: groups, advantages, masks, pool, checkpoints."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import train
from fission_grpo.errors import UserError
from fission_grpo.training import signing


def groups_of(batch: dict[str, Any]) -> dict[str, list[int]]:
    """Rows of every uid."""
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(batch["keys"]):
        groups.setdefault(key.rsplit("_", 2)[0], []).append(row)
    return groups


@pytest.fixture
def trained(make_trainer: Any) -> Any:
    trainer = make_trainer()
    trainer.logged = train(trainer, 2)
    return trainer


def test_the_first_step_explores_and_the_second_is_mixed(trained: Any):
    first, second = trained.actor_rollout_wg.trained
    assert Counter(len(rows) for rows in groups_of(first).values()) == {4: 4}
    assert Counter(len(rows) for rows in groups_of(second).values()) == {4: 2, 8: 1}  # G' is a group's own
    assert len(first["keys"]) == len(second["keys"]) == 16


def test_a_recovery_is_sampled_from_the_very_ids_of_its_failure(trained: Any):
    second = trained.actor_rollout_wg.trained[1]
    (recoveries,) = [rows for rows in groups_of(second).values() if len(rows) == 8]
    (prompt,) = {tuple(second["prompts"][row]) for row in recoveries}
    wrong = tuple(trained.sampler.wrong)
    known = trained.sampler.explored(prompt)
    assert prompt[len(known) :][: len(wrong)] == wrong
    assert len(prompt) > len(known) + len(wrong)  # and feedback behind it
    assert trained.sampler.requests.count(list(prompt)) == 8


def test_only_the_recoveries_own_tokens_are_in_the_loss(trained: Any):
    """verl's loss covers responses where the mask is 1; x, the failed message and the feedback are all prompt."""
    for batch in trained.actor_rollout_wg.trained:
        for response, mask, loss in zip(batch["responses"], batch["response_mask"], batch["loss_mask"], strict=True):
            assert mask == loss == [1] * len(response)
            assert tuple(response) in {tuple(trained.sampler.wrong), *map(tuple, trained.sampler.answers.values())}


def test_advantages_are_normalised_within_each_group(trained: Any):
    """verl's own GRPO estimator: (R - mean) / (std + 1e-6) over the rows of one uid, with the unbiased std."""
    for batch in trained.actor_rollout_wg.trained:
        for rows in groups_of(batch).values():
            scores = [sum(batch["rm_scores"][row]) for row in rows]
            mean = sum(scores) / len(scores)
            std = (sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)) ** 0.5
            for row, score in zip(rows, scores, strict=True):
                expected = [(score - mean) / (std + 1e-6)] * len(batch["responses"][row])
                assert batch["advantages"][row] == pytest.approx(expected)


def test_pool_and_metrics_are_those_of_the_engine(trained: Any):
    first, second = trained.logged
    # Four groups with one success each leave twelve failures, of four distinct (x, tau_err).
    assert (first["fission/failures"], first["fission/pool_size"], first["fission/pool_duplicates"]) == (12, 4, 8)
    assert first["exploration/success"] == 0.25 and "recovery/success" not in first
    assert (second["fission/recovery_groups"], second["fission/recoveries"], second["fission/recovered"]) == (1, 8, 2)
    assert second["recovery/success"] == 0.25
    assert second["fission/pool_size"] == 4 - 1 + 2  # one popped, two groups explored; recoveries do not fission again


def test_the_newest_failure_is_trained_first(make_trainer: Any):
    trainer = make_trainer()
    train(trainer, 1)
    newest = trainer.engine.pool.entries()[-1]
    train(trainer, 1)
    assert any(tuple(ids[: len(newest.prompt_ids)]) == newest.prompt_ids for ids in trainer.sampler.requests[16:])
    assert newest.key not in {failure.key for failure in trainer.engine.pool.entries()}


def test_with_refission_failed_recoveries_are_pooled(make_trainer: Any):
    trainer = make_trainer(**{"fission.refission": True})
    _, second = train(trainer, 2)
    assert second["fission/pool_size"] == 4 - 1 + 2 + 1
    assert second["fission/failures"] == 6 + 6


def test_a_batch_may_be_all_recoveries(make_trainer: Any):
    trainer = make_trainer(**{"fission.recovery_fraction": 1.0})
    train(trainer, 2)
    second = trainer.actor_rollout_wg.trained[1]
    assert Counter(len(rows) for rows in groups_of(second).values()) == {8: 2}


def test_a_checkpoint_brings_the_pool_back(make_trainer: Any, tmp_path: Path):
    trainer = make_trainer()
    train(trainer, 1)
    trainer.global_steps = 1
    trainer._save_checkpoint()
    resumed = make_trainer()
    resumed._load_checkpoint()
    assert resumed.global_steps == 1
    assert resumed.engine.state_dict() == trainer.engine.state_dict()
    resumed.global_steps = 2
    (metrics,) = train(resumed, 1)
    assert metrics["fission/recovery_groups"] == 1


def test_a_checkpoint_of_another_trainer_is_refused(make_trainer: Any, tmp_path: Path):
    trainer = make_trainer()
    train(trainer, 1)
    trainer.global_steps = 1
    trainer._save_checkpoint()
    file = tmp_path / "checkpoints" / "global_step_1" / "fission_state.pkl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "_key", lambda: b"somebody else's")
        with pytest.raises(UserError, match=r"fission_state\.pkl: a pickle, not signed with "):
            make_trainer()._load_checkpoint()
    file.unlink()
    with pytest.raises(UserError, match=r"fission_state\.pkl: no such file"):
        make_trainer()._load_checkpoint()
