"""What is in a comparison's folder already, and whether it belongs to this plan."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fission_grpo.comparison.plan import Plan
from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe, load_recipe
from fission_grpo.recipe.nesting import differences
from fission_grpo.reports.comparison_folder import MANIFEST, PLAN_FILE, PROBE_FILE, load_plan_file, other_file, run_path
from fission_grpo.reports.data import EVALUATION_FILE

TASK_FILES = ("train.jsonl", "test.jsonl", "probe.jsonl")


def run_recipe(recipe: Recipe, out: Path, seed: int) -> Recipe:
    """The recipe of one run: the frozen tasks, its seed."""
    tasks = {split: {"path": str(out / "tasks" / f"{split}.jsonl")} for split in ("train", "test")}
    section = type(recipe.tasks).model_validate(tasks)
    return recipe.model_copy(update={"seed": seed, "tasks": section})


def still_to_do(run: Path, others: Sequence[str], *, trained: bool) -> list[str]:
    """What a run has yet to do, of `train`, `test`, `also` and `probe`, in order.

    Args:
        others: names of the other benchmarks.
        trained: False of the start policy, which is evaluated alone.
    """
    left: list[str] = []
    if trained and not (run / "model" / "training_args.bin").exists():  # what the trainer writes last
        left.append("train")
    if not (run / EVALUATION_FILE).exists():
        left.append("test")
    if not all((run / other_file(name)).exists() for name in others):
        left.append("also")
    if not (run / PROBE_FILE).exists():
        left.append("probe")
    return left


def check_same(out: Path, plan: Plan, seeds: int) -> None:
    """Refuses to mix two comparisons in one folder.

    Raises:
        UserError: what the runs share, or the recipe of an arm, is another than in the folder, or its tasks were altered.
    """
    before = load_plan_file(out)
    if before is None:
        if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise UserError(f"--out {out}: the folder holds other things than a comparison; name another folder")
        return
    if not (out / "tasks" / MANIFEST).is_file():
        return  # stopped before anything was frozen: nothing depends on the plan that is there
    for key, values in differences(before["shared"], plan.shared).items():
        raise UserError(_refusal(out, f"`{key}`", values))
    for arm in plan.arms:
        for seed in range(seeds):
            recipe_file = run_path(out, arm.name, seed) / "recipe.yaml"
            if recipe_file.is_file():
                _check_arm(out, arm.name, load_recipe(recipe_file), arm.recipe)
    check_tasks(out)


def check_tasks(out: Path) -> None:
    """Raises UserError where a frozen file is not what was hashed when it was made."""
    manifest = json.loads((out / "tasks" / MANIFEST).read_text(encoding="utf-8"))
    for name, digest in manifest["sha256"].items():
        path = out / "tasks" / name
        if not path.is_file() or sha256(path) != digest:
            raise UserError(
                f"--out {out}: tasks/{name} is not the file that its runs used; restore it, or name another folder"
            )


def write_plan(out: Path, plan: Plan, seeds: int, command: str) -> None:
    """Writes what is compared, as `reports.comparison_folder` reads it."""
    arms = {
        arm.name: {
            "baseline": arm.baseline,
            "added": arm.added,
            "recipe": arm.recipe.model_dump(mode="json", exclude_none=True),
        }
        for arm in plan.arms
    }
    content: dict[str, Any] = {"command": command, "seeds": seeds, "shared": plan.shared, "arms": arms}
    write_whole(out / PLAN_FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def write_manifest(folder: Path) -> None:
    """Writes the hashes of the frozen files, and how many entries each has. Its presence says that they are complete."""
    files = [*(folder / name for name in TASK_FILES), *sorted(folder.glob(other_file("*")))]
    entries = {path.name: _entries(path) for path in files}
    content = {"entries": entries, "sha256": {path.name: sha256(path) for path in files}}
    write_whole(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _entries(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").count("\n")
    return lines - 1 if path.name == PROBE_FILE else lines  # the first line of a probe file is its header


def _check_arm(out: Path, name: str, there: Recipe, planned: Recipe) -> None:
    first, second = (_comparable(recipe) for recipe in (there, planned))
    for key, values in differences(first, second).items():
        raise UserError(_refusal(out, f"`{key}` of the arm `{name}`", values))


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """Without what a run's recipe has of its own: the seed, and where the frozen tasks lie."""
    return recipe.model_dump(mode="json", exclude={"seed", "tasks"})


def _refusal(out: Path, what: str, values: Sequence[Any]) -> str:
    return (
        f"--out {out}: its runs have {what} = {values[0]!r}, and this comparison {values[1]!r}; "
        "name another folder, or restore the recipe"
    )
