"""The worked examples in the reward modules' documentation are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["format", "correctness", "length", "schedule", "composite"])
def test_worked_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"fission_grpo.rewards.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
