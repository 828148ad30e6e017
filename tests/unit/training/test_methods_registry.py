"""The methods as recipes name them, and the mistakes that recipes make with them."""

import math
from pathlib import Path

import pytest

from fission_grpo.errors import UserError
from fission_grpo.recipe import load_recipe
from fission_grpo.recipe.methods import METHODS, MethodName
from fission_grpo.training.methods.registry import CLASSES
from fission_grpo.training.trainer_config import trainer_config, trainer_fields

RECIPE = Path(__file__).parents[3] / "recipes" / "bfcl_quick.yaml"


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        trainer_config(load_recipe(RECIPE, overrides, trainer_fields()), Path("run"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_method_of_a_recipe_is_there_in_the_order_of_tables() -> None:
    assert list(CLASSES) == list(METHODS)


@pytest.mark.parametrize("method", list(METHODS))
def test_settings_of_a_method_reach_trl(method: MethodName, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, [f"method={method}", "fission.signal_filter=none"])
    config = trainer_config(recipe, tmp_path)
    for key, value in CLASSES[method].settings.items():
        assert getattr(config, key) == value
    assert (config.recovery_fraction > 0) is METHODS[method].recovers


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["method=ngrpo", "fission.signal_filter=outcome"], ["fission.signal_filter", "outcome", "ngrpo", "none"]),
        (["method=reflection", "granularity=episode"], ["method", "reflection", "episode", "step"]),
        (["method=dr_grpo", "trainer.loss_type=grpo"], ["trainer.loss_type", "'grpo'", "'dr_grpo'", "method: dr_grpo"]),
        (["method=dapo", "trainer.epsilon_high=0.2"], ["trainer.epsilon_high", "0.2", "0.28"]),
        (["method=cleaner", "trainer.use_vllm=true"], ["trainer.use_vllm", "True", "False", "method: cleaner"]),
        (["method=reflection", "trainer.use_vllm=true"], ["trainer.use_vllm", "True", "False"]),
        (["method=reflection", "fission.recovery_generations=2"], ["fission.recovery_generations", "2", "even"]),
        (["method=reflection", "fission.recovery_context=prompt"], ["fission.recovery_context", "prompt", "feedback"]),
        (["method=reflection", "fission.refission=true"], ["fission.refission", "true", "false"]),
        (["trainer.remove_unused_columns=true"], ["trainer.remove_unused_columns", "True", "False"]),
        (["trainer.warmup_steps=5"], ["trainer.warmup_steps", "5", "no effect", "constant_with_warmup"]),
        (["trainer.min_p=0.1"], ["trainer.min_p", "0.1", "no effect", "top_p"]),
        (
            ["trainer.chat_template_kwargs={enable_thinking: false}"],
            ["trainer.chat_template_kwargs", "leave it out", "template"],
        ),
        (["trainer.signal_filter=outcome"], ["trainer.signal_filter", "fission.signal_filter"]),
        (["trainer.learning_rate=.inf"], ["trainer.learning_rate", "inf", "finite number"]),
        (["trainer.adam_beta1=1.5"], ["trainer", "beta", "1.5"]),
        (["trainer.lr_scheduler_type=cosine", "trainer.lr_scheduler_kwargs={cycles: 2}"], ["trainer", "cycles"]),
        (["trainer.dataloader_prefetch_factor=2"], ["trainer", "prefetch_factor"]),
        (["trainer.deepspeed=ds.json"], ["trainer", "eepspeed"]),
    ],
)
def test_mistakes_with_methods_are_one_sentence(overrides: list[str], parts: list[str]) -> None:
    sentence = refusal(*overrides)
    assert all(part in sentence for part in parts), sentence


def test_an_infinite_norm_clips_nothing(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, ["trainer.max_grad_norm=.inf"], trainer_fields())
    assert trainer_config(recipe, tmp_path).max_grad_norm == math.inf
    assert "max_grad_norm" in refusal("trainer.max_grad_norm=.nan")


def test_a_setting_of_the_method_may_be_said_again(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, ["method=dr_grpo", "trainer.loss_type=dr_grpo"])
    assert trainer_config(recipe, tmp_path).loss_type == "dr_grpo"
