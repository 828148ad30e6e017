# pyright: reportPrivateUsage=false
# TRL's loss is private.
"""DAPO, Dr. GRPO and GSPO: one hand-sized batch through TRL's loss, against the formula by hand.

Two rows of three and two tokens with advantages 1 and -1. The old log-probabilities are chosen such that the ratios are

    row 0   1.5  1.1  1.0
    row 1   0.5  1.5
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import drop_in_trainer

from fission_grpo.training.methods.base import Method
from fission_grpo.training.methods.dapo import DAPO
from fission_grpo.training.methods.dr_grpo import DrGRPO
from fission_grpo.training.methods.gspo import GSPO

RATIOS = torch.tensor([[1.5, 1.1, 1.0], [0.5, 1.5, 1.0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def loss_of(method: Method, folder: Path) -> float:
    trainer: Any = drop_in_trainer(folder, method=method, args=dict(method.settings))
    trainer.current_gradient_accumulation_steps = 1
    prompt, completion = torch.tensor([[5, 6], [7, 8]]), torch.tensor([[9, 10, 11], [12, 13, 0]])
    ids, mask = torch.cat([prompt, completion], dim=1), torch.cat([torch.ones_like(prompt), MASK], dim=1)
    with torch.no_grad():
        logits = trainer.model(ids, attention_mask=mask).logits[:, 1:-1] / trainer.temperature
    logps = logits.log_softmax(-1).gather(2, completion.unsqueeze(2)).squeeze(2)
    loss = trainer._compute_loss(
        trainer.model.train(),
        {
            "prompt_ids": prompt,
            "prompt_mask": torch.ones_like(prompt),
            "completion_ids": completion,
            "completion_mask": MASK,
            "advantages": torch.tensor([1.0, -1.0]),
            "old_per_token_logps": logps - RATIOS.log(),
            "num_items_in_batch": torch.tensor(5.0),
        },
    )
    return float(loss)


def test_dapo(tmp_path: Path) -> None:
    # Clipped to [0.8, 1.28]: min(1.5, 1.28) + 1.1 + 1.0 - max(0.5, 0.8) - max(1.5, 1.28) = 3.38 - 2.3 = 1.08 over 5 tokens.
    assert loss_of(DAPO(), tmp_path) == pytest.approx(-1.08 / 5, abs=1e-4)


def test_dr_grpo(tmp_path: Path) -> None:
    # Clipped to [0.8, 1.2]: 1.2 + 1.1 + 1.0 - 0.8 - 1.5 = 1.0, over 2 rows of max_completion_length = 10 tokens.
    assert loss_of(DrGRPO(), tmp_path) == pytest.approx(-1.0 / 20, abs=1e-4)


def test_gspo(tmp_path: Path) -> None:
    # One ratio a row, the geometric mean: (1.5 * 1.1) ** (1/3) = 1.18 and (0.5 * 1.5) ** (1/2) = 0.87, far outside the
    # paper's range: min(1.18, 1.0004) and -max(0.87, 0.9997). The mean over rows: (1.0004 - 0.9997) / 2.
    assert loss_of(GSPO(), tmp_path) == pytest.approx(-(1.0004 - 0.9997) / 2, abs=1e-5)


def test_the_base_method_is_grpo_by_tokens(tmp_path: Path) -> None:
    # Clipped to [0.8, 1.2], as in Dr. GRPO, over the 5 tokens.
    assert loss_of(Method(), tmp_path) == pytest.approx(-1.0 / 5, abs=1e-4)


def test_dr_grpo_divides_by_no_deviation(tmp_path: Path) -> None:
    trainer: Any = drop_in_trainer(tmp_path, method=DrGRPO(), args=dict(DrGRPO.settings))
    seen: list[Any] = []
    generate = trainer.generate_batch

    def watching(batch: Any) -> Any:
        seen.append(generate(batch))
        return seen[-1]

    trainer.generate_batch = watching
    trainer.train()
    (generated,) = seen
    rewards = [rollout.reward for rollout in generated.rollouts]
    expected = [rewards[row] - sum(rewards[row // 4 * 4 :][:4]) / 4 for row in range(16)]
    assert not math.isclose(max(expected), 0.0)
    assert generated.output["advantages"].tolist() == pytest.approx(expected, abs=1e-4)
