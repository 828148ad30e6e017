"""Commands that a launcher starts on several processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import fission_grpo.cli as cli
from fission_grpo.errors import UserError


def test_what_one_process_does_is_refused_on_several(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["fission", "doctor"])
    with pytest.raises(
        UserError, match="fission doctor: started by a launcher on 2 processes, 1 is allowed; train and resume"
    ):
        cli.app(standalone_mode=False)


def test_the_main_process_speaks_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """All processes meet the same mistake; a launcher ends the others while they wait."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit, match="2"):
            cli.fail("a mistake")
    assert len(waited) == 1
    assert waited[0] >= 5


@pytest.mark.slow
def test_a_mistake_is_said_once(tmp_path: Path):
    """By torchrun itself."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "fission_grpo"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: bundled\nmethod: grpoo\n", encoding="utf-8")
    done = subprocess.run([*launcher, "train", recipe], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode != 0
    assert done.stderr.count("Error: recipe") == 1
    assert "`method` = 'grpoo'" in done.stderr
