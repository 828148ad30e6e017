"""The examples of the README and of docs/own-tools.md run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


USE_OF_TERSE = """
from fission_grpo.simulators import FallbackChain
from fission_grpo.types import Failure, FailureKind
from terse import Terse

failure = Failure("t", "s", (), (), (), (), "", (), (), FailureKind.WRONG_ARGUMENTS)
print(FallbackChain([Terse()]).diagnose([failure])[0].text)
"""


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def output_of(script: str, folder: Path, name: str) -> str:
    (folder / name).write_text(script, encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    run = subprocess.run([sys.executable, name], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_the_drop_in_example_runs(tmp_path: Path):
    (script,) = examples("README.md")
    printed = output_of(script, tmp_path, "example.py")
    # Failures of the first update are recovered from in the later ones.
    assert int(re.findall(r"(\d+) recovery rollouts", printed)[-1]) > 0


@pytest.mark.slow
def test_own_tools_are_trained_on(tmp_path: Path):
    scripts = {script.split(maxsplit=2)[1]: script for script in examples("docs/own-tools.md")}
    assert list(scripts) == ["notes.py", "make_tasks.py", "train.py", "terse.py"]
    printed = {name: output_of(script, tmp_path, name) for name, script in scripts.items()}
    assert "'fission/recoveries': 8.0" in printed["train.py"]
    assert output_of(USE_OF_TERSE, tmp_path, "use.py") == "This call failed (wrong_arguments).\n"
