"""What a second call finds in the folder of a comparison: what is missing, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from fission_grpo.comparison.folder import check_same, run_recipe, still_to_do, write_manifest, write_plan
from fission_grpo.comparison.plan import Plan, load_plan
from fission_grpo.comparison.run import works_of
from fission_grpo.errors import UserError
from fission_grpo.reports.comparison_folder import load_comparison
from fission_grpo.training.run_folder import RunFolder

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plan() -> Plan:
    return load_plan([ROOT / "recipes" / "compare_small.yaml"], fast=True)


@pytest.fixture
def out(plan: Plan, tmp_path: Path) -> Path:
    """A folder in which one run was begun."""
    write_plan(tmp_path, plan, 2, "fission compare")
    freeze(tmp_path)
    RunFolder.create(tmp_path / "fission-0", run_recipe(plan.arms[1].recipe, tmp_path, 0))
    return tmp_path


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def freeze(out: Path) -> None:
    for name in ("train", "test", "probe"):
        touch(out / "tasks" / f"{name}.jsonl")
    write_manifest(out / "tasks")


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    assert still_to_do(tmp_path, (), trained=True) == ["train", "test", "probe"]
    assert still_to_do(tmp_path, (), trained=False) == ["test", "probe"]
    touch(tmp_path / ".model.partial" / "model.safetensors")
    assert "train" in still_to_do(tmp_path, (), trained=True), "killed while the model was written"
    touch(tmp_path / "model" / "model.safetensors")
    touch(tmp_path / "evaluation.partial")
    assert still_to_do(tmp_path, (), trained=True) == ["test", "probe"]
    touch(tmp_path / "evaluation.jsonl")
    assert still_to_do(tmp_path, (), trained=True) == ["probe"]
    touch(tmp_path / "probe.jsonl")
    assert still_to_do(tmp_path, (), trained=True) == []


def test_other_benchmarks_are_played_until_all_have_been(tmp_path: Path) -> None:
    for name in ("evaluation", "probe", "also-retail"):
        touch(tmp_path / f"{name}.jsonl")
    assert still_to_do(tmp_path, ("retail",), trained=False) == []
    assert still_to_do(tmp_path, ("retail", "telecom"), trained=False) == ["also"]


def test_the_queue_goes_seed_by_seed(plan: Plan, tmp_path: Path) -> None:
    works = works_of(plan, tmp_path, 2)
    assert list(works) == ["start-0", "grpo-0", "fission-0", "start-1", "grpo-1", "fission-1"]
    assert [work.recipe.seed for work in works.values()] == [0, 0, 0, 1, 1, 1]
    assert {str(work.recipe.tasks.train.path) for work in works.values()} == {str(tmp_path / "tasks" / "train.jsonl")}


def test_the_same_plan_with_more_seeds_and_arms_goes_on(plan: Plan, out: Path) -> None:
    check_same(out, plan, 5)
    check_same(out, replace(plan, arms=(*plan.arms, replace(plan.arms[1], name="other"))), 2)


def test_another_budget_is_refused(plan: Plan, out: Path) -> None:
    with pytest.raises(UserError, match=r"`budget` = 25000, and this comparison 60000"):
        check_same(out, replace(plan, budget=60_000), 2)


def test_a_changed_arm_is_refused_by_the_key_that_differs(plan: Plan, out: Path) -> None:
    fission = plan.arms[1].recipe
    changed = fission.model_copy(update={"fission": fission.fission.model_copy(update={"pool_capacity": 9})})
    arms = (plan.arms[0], replace(plan.arms[1], recipe=changed))
    with pytest.raises(UserError, match=r"`fission.pool_capacity` of the arm `fission` = 512, and this comparison 9"):
        check_same(out, replace(plan, arms=arms), 2)
    check_same(out, replace(plan, arms=(replace(arms[1], name="new"),)), 2)


def test_altered_tasks_are_refused(plan: Plan, out: Path) -> None:
    check_same(out, plan, 2)
    (out / "tasks" / "test.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"tasks/test.jsonl is not the file"):
        check_same(out, plan, 2)


def test_a_plan_under_which_nothing_was_made_may_be_mended(plan: Plan, tmp_path: Path) -> None:
    write_plan(tmp_path, plan, 2, "fission compare")
    check_same(tmp_path, replace(plan, budget=60_000), 2)


def test_a_folder_of_something_else_is_refused(plan: Plan, tmp_path: Path) -> None:
    touch(tmp_path / "thesis.tex")
    with pytest.raises(UserError, match="other things than a comparison"):
        check_same(tmp_path, plan, 2)
    with pytest.raises(UserError, match=r"no plan.yaml"):
        load_comparison(tmp_path)


@pytest.mark.parametrize("text", ["arms: {}", "- a", "a: ["])
def test_a_plan_of_something_else_is_refused(plan: Plan, tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(UserError, match=r"plan\.yaml: not written by `fission compare`"):
        check_same(tmp_path, plan, 2)


def test_what_was_planned_is_read_back(plan: Plan, out: Path) -> None:
    found = load_comparison(out)
    assert [(arm.name, arm.baseline) for arm in found.arms] == [("grpo", None), ("fission", "grpo")]
    assert found.arms[1].recipe == plan.arms[1].recipe
    assert (found.seeds, found.budget, dict(found.arms[1].runs)) == (2, plan.budget, {})
