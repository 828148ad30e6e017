"""The drop-in example of the README runs as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_drop_in_example_runs(tmp_path: Path):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 1
    script = tmp_path / "example.py"
    script.write_text(examples[0], encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    run = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    # Failures of the first update are recovered from in the later ones.
    assert int(re.findall(r"(\d+) recovery rollouts", run.stdout)[-1]) > 0
