"""The section `simulator` of a recipe: every contradiction is one sentence that names what to change."""

from pathlib import Path

import pytest

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe, SimulatorSection, load_recipe
from fission_grpo.training.dry_run import dry_run
from fission_grpo.training.simulator.serving import check_simulators

QUICK = Path(__file__).parents[2] / "recipes" / "bfcl_quick.yaml"
LOCAL = ["fission.simulators=[local, rules]", "simulator.local={model: bundled}"]
ENDPOINT = ["fission.simulators=[endpoint, rules]", "simulator.endpoint={base_url: 'http://x/v1', model: m}"]


def loaded(*settings: str) -> Recipe:
    return load_recipe(QUICK, settings)


def mistake(*settings: str) -> str:
    with pytest.raises(UserError) as error:
        loaded(*settings)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["fission.simulators=[local]"], "`simulator.local` is missing, which the simulator 'local' needs (`model: ...`)"),
        (["fission.simulators=[endpoint]"], "`simulator.endpoint` is missing"),
        (
            [LOCAL[1]],
            "`simulator.local` is set, but `fission.simulators` = ['environment', 'rules', 'fixed'] does not name it",
        ),
        ([ENDPOINT[1]], "`simulator.endpoint` is set, but"),
        (["simulator.refresh={every: 5}"], "`simulator.refresh` fine-tunes `local`, which must stand first"),
        (
            [*ENDPOINT, "simulator.refresh={every: 5}"],
            "which must stand first in `fission.simulators` = ['endpoint', 'rules']",
        ),
        ([LOCAL[1], "fission.simulators=[rules, local]", "simulator.refresh={}"], "which must stand first"),
        ([*LOCAL, "simulator.refresh={teacher: endpoint}"], "`simulator.endpoint` is missing"),
        (["fission.simulators=[locl]"], "did you mean `local`?"),
        (["fission.simulators=[endpont]"], "did you mean `endpoint`?"),
        (["fission.simulators=[]"], "`fission.simulators` = []"),
        (["simulator.corruption=2"], "`simulator.corruption` = 2"),
        (["simulator.corruption=-0.1"], "`simulator.corruption` = -0.1"),
        (["simulator.alignment.every=0"], "`simulator.alignment.every` = 0"),
        (["simulator.alignment.warn_below=80"], "`simulator.alignment.warn_below` = 80"),
        (["simulator.alignement={}"], "did you mean `simulator.alignment`?"),
        ([*LOCAL, "simulator.local.modle=x"], "did you mean `simulator.local.model`?"),
        (["simulator.local={}", LOCAL[0]], "`simulator.local.model` is missing"),
        (["simulator.endpoint={model: m}", ENDPOINT[0]], "`simulator.endpoint.base_url` is missing"),
        ([*ENDPOINT, "simulator.endpoint.timeout=0"], "`simulator.endpoint.timeout` = 0"),
        ([*ENDPOINT, "simulator.endpoint.instruction=short"], "'full' or 'none'"),
        ([*LOCAL, "simulator.refresh={teacher: gpt}"], "'rules' or 'endpoint'"),
    ],
)
def test_a_contradiction_is_one_sentence(settings: list[str], said: str) -> None:
    assert said in mistake(*settings)


@pytest.mark.parametrize(
    "settings",
    [
        LOCAL,
        ENDPOINT,
        [*LOCAL, "simulator.refresh={}"],
        [*LOCAL, ENDPOINT[1], "simulator.refresh={teacher: endpoint}"],
        [*LOCAL, ENDPOINT[1], "fission.simulators=[endpoint, local, rules]"],
        ["simulator.corruption=0.5"],
    ],
)
def test_what_belongs_together_is_accepted(settings: list[str]) -> None:
    assert loaded(*settings).fission.simulators


def checked(*settings: str, run: Path) -> None:
    check_simulators(loaded(*settings).simulator, run)


def test_what_needs_a_look_is_told_before_any_weights_are_loaded(tmp_path: Path) -> None:
    check_simulators(SimulatorSection(), tmp_path)
    checked(*LOCAL, "simulator.refresh={}", run=tmp_path)
    for settings, said in (
        (["simulator.local.model=./nowhere"], "no such folder"),
        (["simulator.local.device=cud"], "simulator.local.device: found 'cud'"),
        (["simulator.refresh={trainer: {learing_rate: 1}}"], "simulator.refresh: unknown key `trainer.learing_rate`"),
        (["simulator.refresh={trainer: {output_dir: x}}"], "`trainer.output_dir` = 'x' must not be set"),
    ):
        with pytest.raises(UserError) as error:
            checked(*LOCAL, *settings, run=tmp_path)
        assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_of_it_and_of_the_rest(tmp_path: Path) -> None:
    tasks = "tasks.train={generate: {count: 4, seed: 5, mix: compact}}"
    found = dry_run(loaded(*LOCAL, "simulator.local.model=./nowhere", tasks), lambda text, done, of: None)
    assert any("model './nowhere': no such folder" in problem for problem in found.problems)
    assert found.lengths
    found = dry_run(loaded(*LOCAL, "simulator.local.model=./nowhere", "method=grpo", tasks), lambda text, done, of: None)
    assert not any("nowhere" in problem for problem in found.problems)
