"""What a run is short of is said in one sentence, which names what to change and how to go on."""

import errno
from pathlib import Path

import pytest
import torch

from fission_grpo.errors import UserError
from fission_grpo.training.shortages import told_in_one_sentence


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"out of memory.*recipe\.yaml.*per_device_train_batch_size"),
        (MemoryError(), r"out of memory \(MemoryError\)"),
        (OSError(errno.ENOSPC, "x"), "the disk is full; mend that"),
        (RuntimeError("iostream error"), "could not be written to its end"),
    ],
)
def test_a_shortage_is_one_sentence(tmp_path: Path, error: Exception, said: str) -> None:
    with (
        pytest.raises(UserError, match=rf"{said}.*`fission resume .*then starts anew") as caught,
        told_in_one_sentence(tmp_path),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("step"), UserError("said already")])
def test_everything_else_passes_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, told_in_one_sentence(tmp_path):
        raise error
    assert caught.value is error
