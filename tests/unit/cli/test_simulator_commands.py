"""`fission simulator` as a user types it: what is wrong is one sentence, said before anything is loaded or written."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from failing import failure
from failure_strategies import erring
from typer.testing import CliRunner

from fission_grpo.cli import app
from fission_grpo.errors import UserError
from fission_grpo.failure_files import failure_to_json
from fission_grpo.recipe import dump_recipe, load_recipe, load_simulator_recipe
from fission_grpo.rollout.loading import locate_model
from fission_grpo.training.simulator.examples import Example, save_examples, teach

RECIPES = Path(__file__).parents[3] / "recipes"
QUICK, BUNDLED = str(RECIPES / "bfcl_quick.yaml"), str(RECIPES / "simulator_bundled.yaml")


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["simulator", *arguments], env={"COLUMNS": "160"})
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def mistake(*arguments: str) -> str:
    """The sentence that a user reads."""
    with pytest.raises(UserError) as error:
        invoke(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def threads_are_set_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """They must be before torch is imported, which other tests of this process did."""
    monkeypatch.setattr("fission_grpo.rollout.cpu.configure_cpu", lambda: None)


def dead_url() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    failures = [erring(number) for number in range(60)]
    pairs = zip(failures, teach(failures, None), strict=True)
    save_examples([Example(each, answer, "rules") for each, answer in pairs if answer], tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("command", ["collect", "train", "evaluate"])
def test_help_shows_an_example(command: str) -> None:
    assert f"Example: fission simulator {command} " in " ".join(invoke(command, "--help").split())


def test_a_source_that_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    gone = tmp_path / "nowhere"
    assert mistake("collect", str(gone), "--out", str(tmp_path / "out")) == f"source {gone}: no such file or folder"
    for source in ("empty", "notes.txt"):
        said = mistake("collect", str(tmp_path / source), "--out", str(tmp_path / "out"))
        assert said.startswith(f"source {tmp_path / source}: found no recipe (a YAML file), run folder")
        assert "recipes/bfcl_quick.yaml" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    said = mistake("collect", QUICK, "--out", str(tmp_path / "out"))
    assert "it is not empty; give a new folder" in said
    said = mistake("collect", QUICK, "--out", str(tmp_path / "out" / "thesis.tex"))
    assert "give a new folder" in said


def test_out_may_be_the_folder_that_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "source nowhere" in mistake("collect", "nowhere", "--out", ".")


def run_folder(path: Path, method: str) -> Path:
    path.mkdir()
    recipe = load_recipe(Path(QUICK), [f"method={method}", "tasks.train={generate: {count: 4, seed: 5, mix: compact}}"])
    (path / "recipe.yaml").write_text(dump_recipe(recipe))
    return path


def test_a_run_without_recovery_groups(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", "grpo")
    said = mistake("collect", str(run), "--out", str(tmp_path / "out"))
    assert f"run {run}: no recovery groups in it; `fission simulator collect {run / 'recipe.yaml'}` samples anew" in said


@pytest.mark.parametrize("line", ["{", '{"step": 1, "task_id": "a"}', "[]", '{"failure": {"task_id": "a"}}'])
def test_a_run_whose_log_is_broken(tmp_path: Path, line: str) -> None:
    run = run_folder(tmp_path / "run", "fission")
    (run / "trajectories").mkdir()
    good = json.dumps({"failure": failure_to_json(failure(), without=("tools",))})
    (run / "trajectories" / "fission_groups.jsonl").write_text(f"{good}\n{line}\n")
    said = mistake("collect", str(run), "--out", str(tmp_path / "out"))
    assert "fission_groups.jsonl, line 2: not readable as a recovery group" in said


def test_a_run_whose_tasks_are_others_now(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", "fission")
    (run / "trajectories").mkdir()
    good = json.dumps({"failure": failure_to_json(failure(), without=("tools",))})
    (run / "trajectories" / "fission_groups.jsonl").write_text(good + "\n")
    said = mistake("collect", str(run), "--out", str(tmp_path / "out"))
    assert "its task 'task-a' is not among the recipe's tasks" in said


def test_another_policy_goes_with_a_recipe_only(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", "fission")
    said = mistake("collect", str(run), "--model", "bundled", "--out", str(tmp_path / "out"))
    assert said.startswith("--model bundled: ")


@pytest.mark.parametrize("command", [["collect", QUICK], ["evaluate", "rules"]])
@pytest.mark.parametrize("given", [["--base-url", "http://localhost:1/v1"], ["--endpoint-model", "m"]])
def test_an_endpoint_is_two_options(tmp_path: Path, command: list[str], given: list[str]) -> None:
    assert "the two go together" in mistake(*command, *given, "--out", str(tmp_path / "out"))


@pytest.mark.parametrize("command", [["collect", QUICK], ["evaluate", "rules", "--recipe", QUICK]])
def test_an_endpoint_that_is_down_is_told_before_anything_is_sampled(tmp_path: Path, command: list[str]) -> None:
    said = mistake(*command, "--base-url", dead_url(), "--endpoint-model", "m", "--out", str(tmp_path / "out"))
    assert "no connection" in said
    assert "check base_url" in said
    assert list(tmp_path.iterdir()) == []


def test_resuming_needs_the_folder() -> None:
    assert mistake("train", BUNDLED, "--resume") == "--resume: name the folder to go on with (--out)"


def test_resuming_needs_a_training_to_go_on_with(tmp_path: Path, data: Path) -> None:
    said = mistake("train", BUNDLED, f"data={data}", "--resume", "--out", str(tmp_path / "typo"))
    assert f"--out {tmp_path / 'typo'}: there is no training in it to go on with" in said
    assert not (tmp_path / "typo").exists()


def test_a_finished_simulator_is_not_overwritten(tmp_path: Path, data: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recipe.yaml").write_text("model: bundled\n")
    said = mistake("train", BUNDLED, f"data={data}", "--out", str(tmp_path / "out"))
    assert "there is a simulator in it; --resume goes on with it" in said


def missing(data: Path) -> None:
    shutil.rmtree(data)


def empty_folder(data: Path) -> None:
    for file in data.iterdir():
        file.unlink()


def empty_files(data: Path) -> None:
    for file in data.iterdir():
        file.write_text("")


def no_validation(data: Path) -> None:
    (data / "validation.jsonl").write_text("")


def broken_line(data: Path) -> None:
    with (data / "train.jsonl").open("a") as file:
        file.write('{"prompt": \n')


def no_text(data: Path) -> None:
    (data / "train.jsonl").write_bytes(b"\xff\xfe\x00\x01")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (missing, "no train.jsonl in it; `fission simulator collect recipes/bfcl_quick.yaml --out"),
        (empty_folder, "no train.jsonl in it; `fission simulator collect recipes/bfcl_quick.yaml --out"),
        (empty_files, "0 training and 0 validation examples found, at least 1 of each is needed"),
        (no_validation, "0 validation examples found, at least 1 of each is needed"),
        (broken_line, "train.jsonl, line "),
        (no_text, "train.jsonl: not text in UTF-8"),
    ],
)
def test_data_that_cannot_be_trained_on(tmp_path: Path, data: Path, broken: Callable[[Path], None], said: str) -> None:
    broken(data)
    assert said in mistake("train", BUNDLED, f"data={data}", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trainer.learing_rate=1e-4", "did you mean `trainer.learning_rate`?"),
        ("instructions=none", "did you mean `instruction`?"),
        ("instruction=half", "`instruction` = 'half': should be 'full' or 'none'"),
        ("fraction=0", "`fraction` = 0"),
        ("fraction=1.5", "`fraction` = 1.5"),
        ("trainer.output_dir=x", "`trainer.output_dir` = 'x' must not be set"),
        ("trainer.seed=3", "`seed` decides it"),
        ("trainer.load_best_model_at_end=false", "unknown key `trainer.load_best_model_at_end`"),
        (
            "trainer.eval_strategy=no",
            "`trainer.eval_strategy` = False: should be text; YAML reads a bare `no` as false: quote it",
        ),
        ("trainer.eval_strategy='no'", "trainer: "),
        ("patience=0", "`patience` = 0"),
        ("lora={rank: 4}", "unknown key `lora.rank`"),
        ("model=./nowhere", "no such folder"),
    ],
)
def test_a_setting_that_is_wrong(tmp_path: Path, data: Path, setting: str, said: str) -> None:
    assert said in mistake("train", BUNDLED, f"data={data}", setting, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "recipe.yaml").exists()


def test_a_recipe_of_a_run_is_no_recipe_of_a_simulator(tmp_path: Path, data: Path) -> None:
    said = mistake("train", QUICK, f"data={data}", "--out", str(tmp_path / "out"))
    assert "unknown key `" in said


def test_nothing_to_evaluate() -> None:
    assert "no simulator: name a folder such as simulators/bundled/model, or give --base-url" in mistake("evaluate")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not readable as a labelled failure"),
        ("[]", "line 2: not readable as a labelled failure"),
        (json.dumps({"failure": failure_to_json(failure())}), "line 2: not readable as a labelled failure (field label"),
        (json.dumps({"failure": failure_to_json(failure()), "label": "bad"}), "'bad' is not a valid FailureKind"),
        (json.dumps({"failure": {}, "label": "wrong_tool"}), "field task_id: Field required"),
    ],
)
def test_labels_that_are_broken(tmp_path: Path, line: str, said: str) -> None:
    labels = tmp_path / "labels.jsonl"
    good = json.dumps({"failure": failure_to_json(failure()), "label": "runtime_error"})
    labels.write_text(f"{good}\n{line}\n")
    assert said in mistake("evaluate", "rules", "--recipe", QUICK, "--labels", str(labels))
    assert "no such file" in mistake("evaluate", "rules", "--recipe", QUICK, "--labels", str(tmp_path / "none"))


def test_a_simulator_that_is_none(tmp_path: Path) -> None:
    said = mistake("evaluate", str(tmp_path / "none"), "--recipe", QUICK, "--out", str(tmp_path / "out"))
    assert "no such folder" in said
    broken = tmp_path / "model"
    shutil.copytree(locate_model("bundled"), broken)
    (broken / "simulator.json").write_text("{")
    assert "simulator.json is broken" in mistake("evaluate", str(broken), "--recipe", QUICK, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_training_goes_on_with_the_settings_that_it_began_with(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "begun"
    out.mkdir()
    began = load_simulator_recipe(BUNDLED, [f"data={data}", "trainer.learning_rate=0.5"])
    (out / "recipe.yaml").write_text(dump_recipe(began), encoding="utf-8")
    said = mistake("train", BUNDLED, f"data={data}", "--resume", "--out", str(out))
    assert said.startswith("--resume: this training began with `learning_rate: 0.5`, not `learning_rate: 0.001`")
    assert (out / "recipe.yaml").read_text(encoding="utf-8") == dump_recipe(began)


def test_an_evaluation_does_not_write_over_another(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("x")
    assert "is not empty; give a new folder" in mistake("evaluate", "rules", "--out", str(tmp_path))
    assert "is not empty; give a new folder" in mistake("evaluate", "rules", "--out", str(tmp_path / "report.html"))


def test_a_simulator_that_is_meant(tmp_path: Path, data: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "simulator.json").write_text("{}")
    out = str(tmp_path / "out")
    assert "did you mean" in mistake("evaluate", str(tmp_path / "mine"), "--recipe", QUICK, "--out", out)
    assert "did you mean 'rules'?" in mistake("evaluate", "ruls", "--recipe", QUICK, "--out", out)
