"""The parts of the quickstart that need no training; `fission quickstart --fast` runs all of it."""

from pathlib import Path

import pytest

from fission_grpo.errors import UserError
from fission_grpo.quickstart import ARMS, FAST, FULL, quickstart_recipe, run_quickstart
from fission_grpo.recipe import dump_recipe, load_recipe
from fission_grpo.recipe.methods import MethodName
from fission_grpo.reports.progress import ProgressDisplay

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(("method", "name"), [("fission", "bfcl_quick"), ("grpo", "bfcl_quick_grpo")])
def test_it_trains_as_the_recipe_that_a_user_copies(method: MethodName, name: str, tmp_path: Path) -> None:
    own = quickstart_recipe(method, FULL, tmp_path)
    copied = load_recipe(RECIPES / f"{name}.yaml")
    differs = {"tasks", "evaluation"} | ({"fission"} if method == "grpo" else set())
    assert own.model_dump(exclude=differs) == copied.model_dump(exclude=differs)
    assert own.fission.signal_filter == copied.fission.signal_filter


def test_both_methods_get_equal_rows_and_updates(tmp_path: Path) -> None:
    arms = [quickstart_recipe(method, FAST, tmp_path) for method in ARMS]
    assert arms[0].model_dump(exclude={"method"}) == arms[1].model_dump(exclude={"method"})


def test_a_folder_with_another_quickstart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fission").mkdir()
    (tmp_path / "fission" / "recipe.yaml").write_text(dump_recipe(quickstart_recipe("fission", FULL, tmp_path / "tasks")))
    with pytest.raises(UserError, match="another size"):
        run_quickstart(tmp_path, FAST, lambda _: None, ProgressDisplay({}))


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"'thesis\.tex' in it is of no quickstart"):
        run_quickstart(tmp_path, FAST, lambda _: None, ProgressDisplay({}))
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]
