"""What cannot work is said in one sentence, before a model is loaded."""

from pathlib import Path
from typing import Any

import pytest

from fission_grpo.errors import UserError
from fission_grpo.training.config import FissionGRPOConfig


def config(tmp_path: Path, **settings: Any) -> FissionGRPOConfig:
    base: dict[str, Any] = {
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "recovery_generations": 4,
    }
    base |= settings
    return FissionGRPOConfig(output_dir=str(tmp_path), **base)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"recovery_fraction": 0.3},
            r"recovery_fraction: 0\.3 of 16 rows is 5, .* multiple of recovery_generations \(4\) .*; 0, 0\.25, 0\.5 would",
        ),
        (
            {"recovery_generations": 8, "recovery_fraction": 0.5, "num_generations": 16},
            r"leaves 8 of 16 rows .* num_generations",
        ),
        ({"recovery_fraction": 1.5}, r"recovery_fraction: 1\.5 found"),
        ({"recovery_generations": 1}, r"recovery_generations: 1 found, 2 or more"),
        ({"trigger_interval": 0}, r"trigger_interval: 0 found, 1 or more"),
        ({"trigger_size": 600}, r"pool_capacity: 512 found, 600 or more is allowed: .* never hold trigger_size"),
        ({"pool_capacity": 1}, r"pool_capacity: 1 found, 2 or more is allowed: .* the 2 recovery groups of a batch"),
        ({"max_steps": 0}, r"max_steps: 0 found, 1 or more is allowed, or -1"),
        ({"num_train_epochs": 0.0}, r"num_train_epochs: 0 found, more than 0"),
        ({"save_steps": 0}, r"save_steps: 0 found, 1 or more"),
        ({"signal_filter": "outcom"}, r"signal_filter: 'outcom' found, allowed: none, outcome; did you mean 'outcome'\?"),
        ({"pool_order": "stack"}, r"pool_order: 'stack' found, allowed: lifo, fifo"),
        ({"loss_type": "dr_gpo"}, r"loss_type: 'dr_gpo' found, allowed: grpo, .*; did you mean 'dr_grpo'\?"),
        ({"num_iterations": 0}, r"num_iterations: 0 found, 1 or more"),
        ({"learning_rate": -1.0}, r"learning_rate: -1.0 found, 0 or more"),
        ({"num_iterations": 2, "save_steps": 3}, r"save_steps: 3 found, a multiple of 2"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, settings: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        config(tmp_path, **settings)


def test_scaling_by_true_or_false_is_trls(tmp_path: Path):
    assert [config(tmp_path, scale_rewards=each).scale_rewards for each in (True, False)] == ["group", "none"]


def test_every_setting_of_fission_reaches_the_engine(tmp_path: Path):
    settings = config(
        tmp_path, recovery_fraction=0.25, pool_order="fifo", selection=True, feedback_level=1
    ).fission_settings()
    assert (settings.recovery_fraction, settings.pool_order.value, settings.selection) == (0.25, "fifo", True)
    assert settings.feedback_level.name == "KIND"
