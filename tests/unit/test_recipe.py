"""Recipes: what is read, what is refused, and in which words."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.errors import UserError
from fission_grpo.fission.settings import FissionSettings
from fission_grpo.recipe import Recipe, dump_recipe, load_recipe
from fission_grpo.recipe.loading import check_recipe
from fission_grpo.recipe.schema import FissionSection, RewardSection
from fission_grpo.rewards.composite import RewardSettings


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("method: fission\ntrainer:\n  learning_rate: 3e-4\n  max_steps: 60\n")
    return path


def refusal(path: Path, *overrides: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_overrides_win_over_the_file(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["trainer.max_steps=3", "lora.r=4", "method=grpo", "tasks.train=tasks.jsonl"])
    assert recipe.trainer["max_steps"] == 3
    assert recipe.lora is not None and recipe.lora.r == 4
    assert recipe.method == "grpo"
    assert recipe.tasks.train.path == "tasks.jsonl"


def test_exponents_are_numbers(recipe_file: Path) -> None:
    """YAML 1.1 reads `3e-4` as text, and TRL would take it."""
    assert load_recipe(recipe_file).trainer["learning_rate"] == pytest.approx(0.0003)
    assert load_recipe(recipe_file, ["trainer.learning_rate=1e-6"]).trainer["learning_rate"] == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sed=3", ["`sed`", "3", "`seed`"]),
        ("fission.recovery_gens=4", ["`fission.recovery_gens`", "4", "`fission.recovery_generations`"]),
        ("tasks.train.generate.cont=9", ["`tasks.train.generate.cont`", "9", "`tasks.train.generate.count`"]),
        ("zzz=1", ["`zzz`", "granularity"]),
        ("seed=abc", ["`seed`", "'abc'", "whole number"]),
        ("seed=-1", ["`seed`", "-1", "greater than or equal to 0"]),
        ("fission.selection=3", ["`fission.selection`", "3", "true or false"]),
        ("fission=3", ["`fission`", "3", "section"]),
        ("method=ppo", ["`method`", "'ppo'", "'demonstrations' or 'fission'"]),
        ("environment=bfc", ["`environment`", "'bfc'", "`bfcl`"]),
        ("fission.simulators=[rule]", ["`fission.simulators`", "'rule'", "`rules`"]),
        ("reward.length_band=[2, 1]", ["`reward.length_band`", "[2, 1]"]),
        ("tasks.train={}", ["`tasks.train`", "path", "generate"]),
        ("trainer.seed=3", ["`trainer.seed`", "3", "`seed`"]),
        ("trainer.num_generations=7", ["`trainer.num_generations`", "7", "128", "8"]),
        ("fission.recovery_fraction=0.4", ["`fission.recovery_fraction`", "0.4", "51.2", "0.375"]),
        ("fission.recovery_generations=5", ["`fission.recovery_generations`", "5"]),
        ("trainer.gradient_accumulation_steps=many", ["`trainer.gradient_accumulation_steps`", "'many'"]),
        ("trainer", ["key=value"]),
        ("fission.recovery_horizon=turn", ["`fission.recovery_horizon` = turn", "`granularity: episode`", "step"]),
        ("reward.episode=turns", ["`reward.episode` = turns", "`granularity: episode`", "step"]),
        ("seed.a=3", ["`seed`"]),
        ("trainer.max_steps=[", ["YAML"]),
    ],
)
def test_mistakes_are_one_sentence_with_key_value_and_what_is_right(
    recipe_file: Path, override: str, parts: list[str]
) -> None:
    settings = {"seed": 0} | yaml.safe_load(recipe_file.read_text())
    recipe_file.write_text(yaml.safe_dump(settings))
    sentence = refusal(recipe_file, override)
    assert [part for part in parts if part not in sentence] == [], sentence


TAU2 = {
    "granularity": "episode",
    "environment": "tau2",
    "tasks": {
        "train": {"tau2": {"domain": "retail", "split": "train"}},
        "test": {"tau2": {"domain": "retail", "split": "test"}},
    },
}


def test_tasks_of_tau2_are_named_by_domain_and_split() -> None:
    recipe = check_recipe({**TAU2, "user": {"base_url": "http://localhost:8000/v1", "model": "gpt-4.1"}})
    assert recipe.tasks.train.tau2 is not None and recipe.tasks.train.tau2.domain == "retail"
    assert recipe.user is not None and recipe.user.model == "gpt-4.1"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("tasks.train.tau2.split=test", ["`tasks.train.tau2.split` = test", "only `train`"]),
        ("tasks.test.tau2.split=base", ["`tasks.test.tau2.split` = base", "`test`"]),
        ("tasks.train.tau2.solo=true", ["`solo` = true", "telecom"]),
        ("tasks.train.tau2.domain=bank", ["`tasks.train.tau2.domain`", "'bank'", "'telecom'"]),
        ("tasks.train.tau2.slit=train", ["`tasks.train.tau2.slit`", "`tasks.train.tau2.split`"]),
        ("tasks.test={generate: {count: 3}}", ["`tasks.test.generate`", "`environment: tau2`"]),
        ("tasks.train.path=tasks.jsonl", ["`tasks.train`", "one of"]),
        ("environment=bfcl", ["`tasks.train.tau2`", "`environment: tau2`", "'bfcl'"]),
        ("granularity=step", ["`granularity: episode`"]),
        ("user={model: m}", ["`user.base_url` is missing"]),
    ],
)
def test_mistakes_in_recipes_of_tau2_are_one_sentence(tmp_path: Path, override: str, parts: list[str]) -> None:
    path = tmp_path / "tau2.yaml"
    path.write_text(yaml.safe_dump(TAU2))
    sentence = refusal(path, override)
    assert [part for part in parts if part not in sentence] == [], sentence


def test_a_user_needs_an_environment_with_one(recipe_file: Path) -> None:
    assert "`user` is set" in refusal(recipe_file, "user={base_url: 'http://localhost:1/v1', model: m}")


def test_own_tasks_are_not_evaluated_on_those_of_bfcl() -> None:
    own = {"environment": "tau", "granularity": "episode", "evaluation": {"tasks": 5}}
    with pytest.raises(UserError, match=r"`evaluation.tasks` = 5 plays `tasks.test`.* `environment` is 'tau'"):
        check_recipe({**own, "tasks": {"train": "mine.jsonl"}})
    check_recipe({**own, "tasks": {"train": "mine.jsonl", "test": "others.jsonl"}})


def test_numbers_are_finite(recipe_file: Path) -> None:
    assert "`reward.w_corr.0` = inf: should be a finite number" in refusal(recipe_file, "reward.w_corr=[.inf, 1]")
    assert "`rollout.temperature` = nan: should be" in refusal(recipe_file, "rollout.temperature=.nan")
    assert load_recipe(recipe_file, ["reward.length_band=[0.5, .inf]"]).reward.length_band == (0.5, math.inf)
    assert "`reward.length_band.1` = nan" in refusal(recipe_file, "reward.length_band=[0.5, .nan]")


def test_a_forgotten_space_behind_a_colon_is_seen(recipe_file: Path) -> None:
    for setting in ("lora={r:8}", "fission={recovery_fraction:0.5}"):
        assert "YAML wants a space after the colon" in refusal(recipe_file, setting)


def test_keys_of_the_trainer_are_checked_where_they_are_known(recipe_file: Path) -> None:
    whole = ("max_steps", "per_device_train_batch_size", "gradient_accumulation_steps")
    known = {"learning_rate": float, "optim_args": str | dict[str, Any] | None, **dict.fromkeys(whole, int)}
    assert "`trainer.learning_rate`" in refusal(recipe_file, "trainer.learnin_rate=1", trainer_fields=known)
    assert "`rollout.max_context_tokens`" in refusal(recipe_file, "trainer.max_prompt_length=1", trainer_fields=known)
    for setting, expected in (
        ("learning_rate=fast", "'fast': should be a number"),
        ("learning_rate=yes", "True: should be a number"),
        ("learning_rate=.inf", "inf: should be a finite number"),
        ("max_steps=2.5", "2.5: should be a whole number"),
        ("optim_args=1", "1: should be text or a section"),
    ):
        assert expected in refusal(recipe_file, f"trainer.{setting}", trainer_fields=known)
    assert load_recipe(recipe_file, ["trainer.learning_rate=1"], trainer_fields=known)


def test_broken_files_are_named(tmp_path: Path) -> None:
    near = tmp_path / "quick.yaml"
    near.write_text("seed: 1\nseed: 2\n")
    assert "quick.yaml" in refusal(tmp_path / "quik.yaml")
    assert "`seed` stands twice" in refusal(near)
    near.write_text("- a\n- b\n")
    assert "key: value" in refusal(near)
    near.write_text("a: [1\nb: 2\n")
    assert "line 2" in refusal(near)


@given(
    group=st.integers(2, 16),
    siblings=st.integers(2, 16),
    rows=st.integers(1, 256),
    fraction=st.fractions(0, 1, max_denominator=64),
)
def test_a_batch_that_is_accepted_divides_into_whole_groups(group: int, siblings: int, rows: int, fraction: float) -> None:
    settings = {
        "fission": {"recovery_fraction": float(fraction), "recovery_generations": siblings},
        "trainer": {"num_generations": group, "generation_batch_size": rows},
    }
    wanted = float(fraction) * rows
    divides = rows % group == 0 and abs(wanted - round(wanted)) < 1e-6
    divides = divides and round(wanted) % siblings == 0 and (rows - round(wanted)) % group == 0
    try:
        recipe = check_recipe(settings)
    except UserError:
        assert not divides
    else:
        assert divides
        assert recipe.recovery_rows == round(wanted)


@given(
    seed=st.integers(0, 2**31),
    rate=st.floats(1e-9, 1.0),
    simulators=st.lists(st.sampled_from(["fixed", "rules", "environment"]), min_size=1, max_size=3),
    lora=st.none() | st.builds(dict, r=st.integers(1, 64)),
    path=st.none() | st.text("abc/äö #:-'\"", min_size=1, max_size=12),
)
def test_a_written_recipe_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    rate: float,
    simulators: list[str],
    lora: dict[str, int] | None,
    path: str | None,
) -> None:
    train = {"generate": {"count": 3}} if path is None else {"path": path}
    settings: dict[str, Any] = {"seed": seed, "lora": lora, "tasks": {"train": train}}
    recipe = check_recipe(settings | {"fission": {"simulators": simulators}, "trainer": {"learning_rate": rate}})
    file = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe


def test_sections_mirror_the_settings_that_they_fill() -> None:
    reward = {each.name: each.default for each in fields(RewardSettings)}
    of_messages = {name: field.default for name, field in RewardSection.model_fields.items() if name != "episode"}
    assert of_messages == reward  # what an episode earns is `EpisodeTasks`' affair
    fission = {each.name: getattr(each.default, "value", each.default) for each in fields(FissionSettings)}
    fission["feedback_level"] = FissionSettings().feedback_level.name.lower()
    section = {name: field.default for name, field in FissionSection.model_fields.items()}
    assert {name: section.get(name) for name in fission} == fission


def test_a_recipe_without_any_setting_is_valid() -> None:
    assert Recipe().batch_rows == 128
    assert Recipe().recovery_rows == 64


def test_a_bomb_of_aliases_is_refused(tmp_path: Path):
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    for name, text in (("bomb", "\n".join(lines)), ("circle", "trainer: &a {b: *a}"), ("deep", "[" * 5000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=r"not readable as YAML: it (comes to more than|is nested too deeply)"):
            load_recipe(tmp_path / name)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "simulator.endpoint={base_url: 'http://me:hunter2@host/v1', model: m}",
            "simulator.endpoint.base_url.*user name or",
        ),
        ("simulator.endpoint={base_url: 'http://host/v1?key=hunter2', model: m}", "simulator.endpoint.base_url.*a query"),
        ("trainer.vllm_server_base_url='http://me:hunter2@host'", "vllm_server_base_url holds a user name"),
        ("trainer.hub_token=hunter2", "hub_token is a secret"),
    ],
)
def test_secrets_are_no_settings(setting: str, words: str):
    """Recipes are copied into run folders."""
    recipe = Path(__file__).parents[2] / "recipes" / "bfcl_quick.yaml"
    with pytest.raises(UserError, match=words) as raised:
        load_recipe(recipe, ["fission.simulators=[endpoint, rules]", setting])
    assert "hunter2" not in str(raised.value)
