"""What a run's terminal is kept free of."""

import logging

import pytest
from accelerate import PartialState
from accelerate.logging import get_logger

from fission_grpo.training.terminal import quieten


def test_rows_that_the_infrastructure_broke_are_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    """TRL would print all of each, what the model wrote included; other warnings of its pass."""
    PartialState()
    said = get_logger("trl.trainer.grpo_trainer")
    quieten()
    with caplog.at_level(logging.WARNING):
        said.warning("All reward functions returned None for the following kwargs:\n{'completion': 'secret'}\nPlease ...")
        said.warning("Iterable datasets require something else.")
    assert [record.getMessage() for record in caplog.records] == ["[RANK 0] Iterable datasets require something else."]
