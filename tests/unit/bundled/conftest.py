"""Demonstrations and a tokenizer made from a few tasks, shared by the tests of the bundled policy."""

import pytest
from transformers import PreTrainedTokenizerFast

from fission_grpo.bundled.demonstrations import demonstrations
from fission_grpo.bundled.examples import Demonstration, render
from fission_grpo.bundled.tokenizer import train_tokenizer
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import Task


@pytest.fixture(scope="session")
def tasks() -> list[Task]:
    return generate_tasks(120, 3, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(1, 0, 0))


@pytest.fixture(scope="session")
def shown(tasks: list[Task]) -> list[Demonstration]:
    return list(demonstrations(tasks, BFCLEnvironment()))


@pytest.fixture(scope="session")
def tokenizer(shown: list[Demonstration]) -> PreTrainedTokenizerFast:
    return train_tokenizer([render(demonstration.messages, demonstration.tools) for demonstration in shown])
