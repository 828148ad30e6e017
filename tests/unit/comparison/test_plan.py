"""From recipes to arms: names, baselines, and every mistake as one sentence."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from fission_grpo.comparison.plan import FAST_BUDGET, Plan, load_plan
from fission_grpo.comparison.worker import prepare, recipe_of_other
from fission_grpo.errors import UserError
from fission_grpo.recipe.nesting import differences, merged

ROOT = Path(__file__).parents[3]
TWO = {"grpo": {"method": "grpo"}, "fission": {"method": "fission"}}


def write(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def plan_of(folder: Path, **settings: Any) -> Plan:
    return load_plan([write(folder / "c.yaml", settings)])


def refusal(*paths: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_plan(paths, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def baselines(plan: Plan) -> dict[str, str | None]:
    return {arm.name: arm.baseline for arm in plan.arms}


def test_the_recipe_that_a_user_copies(tmp_path: Path) -> None:
    plan = load_plan([ROOT / "recipes" / "compare_small.yaml"])
    assert baselines(plan) == {"grpo": None, "fission": "grpo"}
    assert plan.budget == 500_000
    grpo, fission = (arm.recipe for arm in plan.arms)
    assert differences(grpo.model_dump(), fission.model_dump()) == {"method": ("grpo", "fission")}
    assert grpo.rollout.max_new_tokens == 64, "settings win over the base"
    assert grpo.evaluation.tasks == 600


def test_fast_is_smaller_and_no_larger_budget_than_asked_for() -> None:
    path = ROOT / "recipes" / "compare_small.yaml"
    assert load_plan([path], fast=True).budget == FAST_BUDGET
    assert load_plan([path], fast=True, budget=7).budget == 7
    assert load_plan([path], budget=7).budget == 7
    assert load_plan([path], fast=True).arms[0].recipe.evaluation.samples == 1


def test_training_recipes_are_arms_named_after_their_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.yaml", settings) for name, settings in TWO.items()]
    assert baselines(load_plan(paths)) == {"grpo": None, "fission": "grpo"}


def test_grpo_is_added_where_a_granularity_has_no_baseline(tmp_path: Path) -> None:
    arms = {"plain": {"method": "grpo"}, "whole": {"granularity": "episode", "fission": {"signal_filter": "outcome"}}}
    plan = plan_of(tmp_path, arms=arms)
    assert baselines(plan) == {"plain": None, "grpo": None, "whole": "grpo"}
    added = plan.arms[1]
    assert (added.added, added.recipe.method, added.recipe.granularity) == (True, "grpo", "episode")
    assert added.recipe.fission.signal_filter == "outcome", "the filter is no part of the method"
    assert "added: GRPO at the same granularity" in added.describe()
    assert [arm.name for arm in plan_of(tmp_path, arms={"grpo": {}}).arms] == ["grpo_step", "grpo"]


def test_a_named_baseline_need_not_be_grpo_which_stays_in_the_table(tmp_path: Path) -> None:
    arms = {"old": {}, "new": {"fission": {"selection": True}}}
    assert baselines(plan_of(tmp_path, arms=arms, baseline="old")) == {"old": None, "grpo": "old", "new": "old"}
    both = TWO | {"g": {"method": "grpo", "granularity": "episode"}, "e": {"granularity": "episode"}}
    named = plan_of(tmp_path, arms=both, baseline={"step": "grpo", "episode": "e"})
    assert baselines(named) == {"grpo": None, "fission": "grpo", "e": None, "g": "e"}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"arms": {}}, ["`arms` is empty"]),
        ({"arms": TWO, "baseline": "grop"}, ["`baseline` = 'grop'", "grpo, fission"]),
        ({"arms": TWO, "baseline": {"turn": "grpo"}}, ["`baseline`", "turn", "step: NAME"]),
        ({"arms": TWO, "baseline": 3}, ["`baseline`", "3", "name of an arm"]),
        ({"arms": TWO, "baseline": {"episode": "grpo"}} | {"arms": {**TWO, "e": {"granularity": "episode"}}},
         ["`baseline.episode` = 'grpo'", "granularity step"]),
        ({"arms": {"start": {}}}, ["'start'", "all arms start from"]),
        ({"arms": {"../a": {}}}, ["'../a'", "letters, digits"]),
        ({"arms": TWO, "budgt": 3}, ["`budgt`", "`budget`"]),
        ({"arms": TWO, "budget": "many"}, ["`budget`", "'many'", "whole number"]),
        ({"arms": {"a": {"metod": "grpo"}}}, ["arm `a`", "`metod`", "`method`"]),
        ({"arms": {"a": 3}}, ["`arms.a`", "3"]),
        ({"arms": {"a": {"seed": 3}}}, ["`arms.a.seed` = 3", "--seeds"]),
        ({"arms": TWO, "settings": {"trainer": {"max_steps": 9}}}, ["`settings.trainer.max_steps` = 9", "`budget`"]),
        ({"arms": {"a": {"evaluation": {"tasks": 3}}}}, ["`arms.a.evaluation`", "section `evaluation`"]),
        ({"arms": {"a": {}, "b": {"model": "x"}}}, ["`a` and `b` differ in `model`", "'bundled' and 'x'"]),
        ({"arms": {"a": {}, "b": {"tasks": {"test": "t.jsonl"}}}}, ["differ in `tasks.test", "t.jsonl"]),
        ({"arms": {"a": {}, "b": {"rollout": {"steps_per_turn": 3}}}}, ["differ in `rollout.steps_per_turn`", "8 and 3"]),
        ({"arms": {"a": {"trainer": {"lr_scheduler_type": "cosine"}}}}, ["arm `a`", "'cosine'", "constant"]),
        ({"arms": {"a": {"method": "grpo"}, "b": {"method": "grpo"}}}, ["several arms are GRPO", "a, b", "`baseline"]),
        ({"arms": TWO, "base": "no.yaml"}, ["no.yaml", "no such file"]),
        ({"arms": TWO, "base": "c.yaml"}, ["`base` = 'c.yaml'", "training recipe"]),
        ({"arms": TWO, "evaluation": {"tasks": 0}}, ["`evaluation.tasks` = 0"]),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path: Path, settings: dict[str, Any], parts: list[str]) -> None:
    sentence = refusal(write(tmp_path / "c.yaml", settings))
    assert [part for part in parts if part not in sentence] == [], sentence


def test_arms_may_differ_in_what_is_compared(tmp_path: Path) -> None:
    plan_of(tmp_path, arms={"a": {"method": "grpo"}, "b": {"rollout": {"temperature": 0.9}, "lora": {"r": 4}}})


def test_what_cannot_stand_together(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first, second = write(tmp_path / "a.yaml", {"seed": 1}), write(tmp_path / "x" / "a.yaml", {"seed": 1})
    assert "there is an arm `a` already" in refusal(first, second)
    assert "stands alone" in refusal(first, write(tmp_path / "c.yaml", {"arms": TWO}))
    assert "letters, digits" in refusal(write(tmp_path / "a b.yaml", {"seed": 1}))


def test_settings_are_laid_over_each_other_and_sources_replaced() -> None:
    below = {"tasks": {"train": {"generate": {"count": 3}}, "test": {"path": "a"}}, "lora": {"r": 4}}
    above = {"tasks": {"train": {"path": "b"}}, "lora": None}
    assert merged(below, above) == {"tasks": {"train": {"path": "b"}, "test": {"path": "a"}}, "lora": None}


RETAIL = {"tasks": {"tau2": {"domain": "retail", "split": "base"}}, "max_context_tokens": 8192, "limit": 20, "samples": 4}


def test_other_benchmarks_stand_beside_the_test_tasks(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, arms=TWO, evaluation={"tasks": 5, "also": {"retail": RETAIL}})
    assert plan.shared["evaluation"]["also"]["retail"]["limit"] == 20
    fast = load_plan([tmp_path / "c.yaml"], fast=True).evaluation.also["retail"]
    assert (fast.limit, fast.samples) == (2, 1)
    played = recipe_of_other(plan.arms[0].recipe, plan.evaluation.also["retail"], "tau2")
    assert (played.environment, played.evaluation.samples) == ("tau2", 4)
    assert (played.rollout.max_context_tokens, played.rollout.max_new_tokens) == (8192, 128), "the rest is the recipe's"


def test_a_comparison_without_others_is_what_it_was(tmp_path: Path) -> None:
    """A folder that was made before there were any can still be taken up."""
    assert "also" not in plan_of(tmp_path, arms=TWO).shared["evaluation"]


def test_mistakes_in_other_benchmarks_are_one_sentence(tmp_path: Path) -> None:
    def sentence(name: str, other: dict[str, Any]) -> str:
        return refusal(write(tmp_path / "c.yaml", {"arms": TWO, "evaluation": {"also": {name: other}}}))

    assert "'a/b'" in sentence("a/b", RETAIL)
    assert "`evaluation.also.retail.limi`" in sentence("retail", {**RETAIL, "limi": 3})
    assert "did you mean `evaluation.also.retail.limit`?" in sentence("retail", {**RETAIL, "limi": 3})
    assert "`evaluation.also.retail.tasks` is missing" in sentence("retail", {"limit": 3})


@pytest.mark.parametrize("setting", [{"optim": "adamw"}, {"logging_strategy": "no"}])
def test_what_only_trl_knows_of_an_arm_is_said_before_any_is_trained(tmp_path: Path, setting: dict[str, Any]) -> None:
    plan = plan_of(tmp_path, arms={**TWO, "other": {"method": "fission", "trainer": setting}})
    with pytest.raises(UserError, match=rf"arm `other`: .*{next(iter(setting.values()))}"):
        prepare(tmp_path / "out", plan, Mock())
    assert not (tmp_path / "out").exists()
