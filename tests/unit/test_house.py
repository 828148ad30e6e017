"""The rules of the house that no linter knows."""

import subprocess
import sys
from pathlib import Path

import pytest

from fission_grpo.comparison.plan import load_plan
from fission_grpo.recipe import load_recipe, load_simulator_recipe
from fission_grpo.recipe.describe import render_reference

ROOT = Path(__file__).parents[2]
SIMULATOR_RECIPES = sorted((ROOT / "recipes").glob("simulator_*.yaml"))
COMPARISONS = sorted([*(ROOT / "recipes").glob("compare_*.yaml"), *(ROOT / "benchmarks").glob("*.yaml")])
RECIPES = sorted(set((ROOT / "recipes").glob("*.yaml")) - {*SIMULATOR_RECIPES, *COMPARISONS})
HEAVY = ("torch", "transformers", "trl", "datasets", "matplotlib")


def run_python(code: str) -> str:
    """Runs code in a fresh interpreter; returns what it printed."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def heavy_after(statement: str) -> str:
    return run_python(f"import sys; {statement}; print([name for name in {HEAVY!r} if name in sys.modules])")


def cpu_seconds(statement: str) -> float:
    """CPU time and not wall-clock, so that a busy machine does not fail the test; the best of three."""
    code = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    return min(float(run_python(code)) for _ in range(3))


def test_the_package_is_light() -> None:
    assert cpu_seconds("import fission_grpo") < 0.5
    assert heavy_after("import fission_grpo") == "[]"


def test_the_command_line_is_light() -> None:
    assert cpu_seconds("import fission_grpo.cli") < 1.0
    assert heavy_after("import fission_grpo.cli") == "[]"


@pytest.mark.parametrize(
    "module",
    ["recipe", "quickstart", "comparison.run", "tasks.generate", "simulators.registry", "fission", "rewards.composite"],
)
def test_the_torch_free_parts_import_no_torch(module: str) -> None:
    assert "torch" not in heavy_after(f"import fission_grpo.{module}")


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert lengths
    assert [f"{path.relative_to(ROOT)}: {length}" for path, length in lengths.items() if length > 500] == []


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_loads(path: Path) -> None:
    assert load_recipe(path).trainer["max_steps"] > 0


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_takes_every_configuration(path: Path) -> None:
    """By its own class, which refuses keys that it does not know."""
    from accelerate.commands.config.config_args import ClusterConfig

    config = ClusterConfig.from_yaml_file(str(path))
    assert config.num_processes == 8
    assert str(config.distributed_type).removeprefix("DistributedType.") in ("MULTI_GPU", "FSDP", "DEEPSPEED")


@pytest.mark.parametrize("path", SIMULATOR_RECIPES, ids=[path.stem for path in SIMULATOR_RECIPES])
def test_every_simulator_recipe_loads(path: Path) -> None:
    assert load_simulator_recipe(path).data == "simulator-data"


@pytest.mark.parametrize("path", COMPARISONS, ids=[path.stem for path in COMPARISONS])
def test_every_comparison_recipe_loads(path: Path) -> None:
    plan = load_plan([path])
    assert len(plan.arms) > 1
    assert any(arm.recipe.method == "grpo" for arm in plan.arms)
    assert sum(arm.baseline is None for arm in plan.arms) == len({arm.recipe.granularity for arm in plan.arms})


def test_the_reference_page_of_recipes_is_up_to_date() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == render_reference(), "run `make docs`"
