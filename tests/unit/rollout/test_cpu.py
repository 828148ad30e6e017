"""The settings are read by torch in a fresh process, so that is where they are tried."""

import os
import subprocess
import sys

import pytest

from fission_grpo.errors import UserError
from fission_grpo.rollout.cpu import configure_cpu


def test_torch_takes_the_number_of_threads() -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "KMP_"))}
    code = (
        "from fission_grpo.rollout.cpu import configure_cpu; configure_cpu(1); import torch; print(torch.get_num_threads())"
    )
    assert subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True).stdout == "1\n"


def test_waiting_threads_sleep_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "environ", {"KMP_BLOCKTIME": "7"})
    configure_cpu(3)
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["KMP_BLOCKTIME"], os.environ["OMP_NUM_THREADS"]) == (
        "PASSIVE",
        "7",
        "3",
    )


@pytest.mark.parametrize("setting", ["0", "-1", "many", ""])
def test_a_bad_number_of_threads(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    with pytest.raises(UserError, match="OMP_NUM_THREADS: found"):
        configure_cpu()


def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with pytest.raises(RuntimeError, match="before torch is imported"):
        configure_cpu()
