"""What the trainer may be given, and what an `outcome_fn` may return."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trl.trainer.grpo_config import GRPOConfig

from fission_grpo.errors import UserError
from fission_grpo.training.arguments import check_arguments
from fission_grpo.training.config import FissionGRPOConfig
from fission_grpo.training.rollouts import checked_failure, checked_outcomes

ON_CPU: dict[str, Any] = {"use_cpu": True, "bf16": False, "per_device_train_batch_size": 16}


def test_settings_of_trl_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a GRPOConfig found, a FissionGRPOConfig allowed"):
        check_arguments(GRPOConfig(str(tmp_path), **ON_CPU), lambda **_: [True], {})


@pytest.mark.parametrize("name", ["tools", "environment_factory"])
def test_tools_that_trl_would_execute_are_refused(tmp_path: Path, name: str) -> None:
    args = FissionGRPOConfig(str(tmp_path), success_threshold=1.0, **ON_CPU)
    check_arguments(args, None, {name: None})
    with pytest.raises(UserError, match=f"{name}: .* column `tools`, .* FunctionEnvironment"):
        check_arguments(args, None, {name: [print]})


def test_outcomes_are_one_bool_a_row() -> None:
    values: list[Any] = [True, 0, np.bool_(True), 1.0]
    assert checked_outcomes(values, 4) == [True, False, True, True]
    odd: list[Any]
    for odd in ([0.3, 1.0], ["no", True], [None, True]):
        with pytest.raises(UserError, match=r"True or False allowed.*success_threshold"):
            checked_outcomes(odd, 2)
    with pytest.raises(UserError, match="3 values found, 2 allowed"):
        checked_outcomes([True, True, False], 2)


def test_a_failure_is_a_failure() -> None:
    assert checked_failure(None) is None
    with pytest.raises(UserError, match="failure_fn: 'no such file' found, a Failure is allowed"):
        checked_failure("no such file")
