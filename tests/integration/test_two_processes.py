"""Training on two processes (gloo)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.mark.slow
def test_processes_may_differ_in_how_many_rows_have_an_advantage(tmp_path: Path):
    """TRL gathers metrics by row: each process must keep as many rows as the others."""
    script = Path(__file__).with_name("two_ranks.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path])}
    finished = subprocess.run(
        [*launcher, script, tmp_path], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"weights-{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
