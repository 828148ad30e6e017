"""The simulator in this process, on the bundled model: deterministic, and every broken folder is one sentence."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from failing import failure
from failure_strategies import without_pattern
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.rollout.loading import locate_model
from fission_grpo.rollout.policy import Sampling
from fission_grpo.simulators import FallbackChain, RulesSimulator
from fission_grpo.simulators.base import Regenerating, Stateful, Weighted
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.simulators.local import CARD_FILE, LocalSimulator, SimulatorCard, check_simulator, fingerprint, load_card

FAILURES = [failure("a"), without_pattern(), failure("b")]


@pytest.fixture(scope="module")
def simulator() -> LocalSimulator:
    return LocalSimulator("bundled", "cpu", batch_size=2, max_new_tokens=12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(locate_model("bundled"), tmp_path / "model")
    return tmp_path / "model"


def test_it_is_what_the_chain_takes_it_for(simulator: LocalSimulator) -> None:
    assert all(isinstance(simulator, protocol) for protocol in (Regenerating, Stateful, Weighted))
    assert simulator.parameters > 1_000_000


def test_greedy_answers_are_always_the_same(simulator: LocalSimulator) -> None:
    sampling = Sampling(0.0, max_new_tokens=12)
    answers = simulator.answers(FAILURES, sampling)
    assert all(answers)
    assert simulator.answers(FAILURES, sampling) == answers
    assert simulator.answers(FAILURES[::-1], sampling) == answers[::-1]
    assert simulator.diagnose(FAILURES) == simulator.diagnose(FAILURES)


def test_a_second_attempt_says_something_else_and_the_same_every_time(
    simulator: LocalSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sampling] = []
    answers: list[list[str | None]] = []
    draw = simulator.answers

    def watched(failures: list[object], sampling: Sampling) -> list[str | None]:
        asked.append(sampling)
        answers.append(draw(failures, sampling))  # pyright: ignore
        return answers[-1]

    monkeypatch.setattr(simulator, "answers", watched)
    simulator.diagnose(FAILURES)
    for failures in (FAILURES, FAILURES, FAILURES[:2]):
        simulator.diagnose_again(failures)
    assert answers[0] != answers[1] == answers[2]
    assert [sampling.temperature for sampling in asked] == [0.0, 1.0, 1.0, 1.0]
    assert asked[1].seed == asked[2].seed != asked[3].seed


def test_a_failure_that_does_not_fit_is_said_to_be_too_long(simulator: LocalSimulator) -> None:
    long = replace(failure("c"), messages=tuple({"role": "user", "content": f"{n} word " * 400} for n in range(40)))
    simulator._context, context = 1500, simulator._context  # pyright: ignore
    try:
        found = simulator.diagnose([failure("a"), long])
        counts = FallbackChain([simulator, RulesSimulator()])
        (served,) = counts.diagnose([long])
    finally:
        simulator._context = context  # pyright: ignore
    assert (found[1].text, found[1].replaced, found[1].reason) == (FIXED_TEXT, "local", "long_context")
    assert found[0].reason != "long_context"
    assert (served.source, served.replaced) == ("rules", "local")
    assert counts.counts["unanswered/local/long_context"] == 2  # asked twice


def test_tokens_are_counted_and_survive_a_checkpoint(folder: Path) -> None:
    simulator = LocalSimulator(str(folder), "cpu", max_new_tokens=4)
    simulator.diagnose([])
    assert simulator.tokens.total() == 0
    simulator.diagnose(FAILURES[:1])
    assert 0 < simulator.tokens["sampled"] <= 4
    assert simulator.tokens["prefill"] > 50
    other = LocalSimulator(str(folder), "cpu")
    other.load_state_dict(json.loads(json.dumps(simulator.state_dict())))
    assert other.tokens == simulator.tokens


def test_the_card_says_how_it_is_asked(folder: Path, simulator: LocalSimulator) -> None:
    SimulatorCard(instruction="", tokenizer=fingerprint(AutoTokenizer.from_pretrained(folder)), version=3).save(folder)
    plain = LocalSimulator(str(folder), "cpu", max_new_tokens=2)
    assert plain.card.version == 3
    for each in (plain, simulator):
        each.tokens.clear()
        each.diagnose_again(FAILURES[:1])
    assert plain.tokens["prefill"] < simulator.tokens["prefill"] - 100


def test_a_folder_without_a_card_is_any_model(folder: Path) -> None:
    assert load_card(folder) == SimulatorCard()
    assert check_simulator(str(folder)) == SimulatorCard()


def another_tokenizer(folder: Path) -> None:
    SimulatorCard(tokenizer="0123456789abcdef").save(folder)


def broken_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text('{"instruction": ')


def foreign_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text('{"author": "me"}')


def listed_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text("[1, 2]")


def mistyped_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text('{"instruction": 5}')


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (another_tokenizer, r"its tokenizer is not the one it was trained with \(simulator\.json says 0123456789abcdef"),
        (broken_card, r"its simulator\.json is broken"),
        (foreign_card, r"its simulator\.json is broken"),
        (listed_card, r"its simulator\.json is broken"),
        (mistyped_card, r"its simulator\.json is broken"),
        (without_config, r"neither config\.json nor"),
    ],
)
def test_a_broken_folder_is_one_sentence(folder: Path, broken: Callable[[Path], None], said: str) -> None:
    broken(folder)
    with pytest.raises(UserError, match=said) as error:
        check_simulator(str(folder))
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_tokenizer_larger_than_the_weights(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<new_{number}>" for number in range(5000)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"its tokenizer has \d+ entries, its weights \d+"):
        LocalSimulator(str(folder), "cpu")


def test_a_device_that_is_not_there_is_told_before_the_weights_are_loaded(folder: Path) -> None:
    with pytest.raises(UserError, match=r"simulator\.local\.device: found 'cud'.*take cpu"):
        check_simulator(str(folder), "cud")
    with pytest.raises(UserError, match=r"simulator\.local\.device"):
        LocalSimulator(str(folder), "cud")


@pytest.mark.parametrize("name", ["./no/such", "simulators/none/model", "no such"])
def test_a_name_of_nothing(name: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        check_simulator(name)


def test_adapters_on_a_base_model(folder: Path, tmp_path: Path) -> None:
    adapters = tmp_path / "adapters"
    base = AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(base, LoraConfig(target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(str(adapters))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(adapters)
    SimulatorCard(instruction="", tokenizer=fingerprint(tokenizer), examples=9).save(adapters)
    adapted, plain = LocalSimulator(str(adapters), "cpu", max_new_tokens=12), LocalSimulator(str(folder), "cpu")
    assert adapted.card.examples == 9
    assert adapted.parameters > plain.parameters
    sampling = Sampling(0.0, max_new_tokens=12)
    assert adapted.answers(FAILURES, sampling) == adapted.answers(FAILURES, sampling)
    assert len(adapted.diagnose(FAILURES)) == 3


def test_what_was_answered_greedily_is_not_asked_twice(folder: Path) -> None:
    first = LocalSimulator(str(folder), "cpu", max_new_tokens=4)
    said = first.diagnose([*FAILURES, FAILURES[0]])
    asked = first.tokens.copy()
    assert first.diagnose(FAILURES) == said[: len(FAILURES)]
    assert said[-1] == said[0]
    assert first.tokens == asked
    resumed = LocalSimulator(str(folder), "cpu", max_new_tokens=4)
    resumed.load_state_dict(first.state_dict())
    assert resumed.diagnose(FAILURES) == said[: len(FAILURES)]
    assert resumed.tokens == asked
    first.diagnose_again(FAILURES[:1])
    assert first.tokens != asked


def test_drafts_in_the_words_of_the_rules_change_nothing_but_the_time(folder: Path) -> None:
    plain = LocalSimulator(str(folder), "cpu", max_new_tokens=24)
    drafting = LocalSimulator(str(folder), "cpu", max_new_tokens=24)
    drafting.card = replace(drafting.card, teacher="rules")
    assert drafting.diagnose(FAILURES) == plain.diagnose(FAILURES)
    assert drafting.tokens["prefill"] > plain.tokens["prefill"]


def test_what_another_model_answered_is_forgotten(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = LocalSimulator(str(folder), "cpu", max_new_tokens=4)
    first.diagnose(FAILURES)
    state = {**first.state_dict(), "weights": "of another"}
    resumed = LocalSimulator(str(folder), "cpu", max_new_tokens=4)
    resumed.load_state_dict(state)
    asked = resumed.tokens["prefill"]
    resumed.diagnose(FAILURES)
    assert resumed.tokens["prefill"] > asked
    assert "not those of the checkpoint" in caplog.text


def test_no_memory_is_the_simulators_failure_and_not_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = LocalSimulator("bundled", "cpu", batch_size=2, max_new_tokens=12)

    def without_memory(*_: object) -> object:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(simulator._policy, "_prefill", without_memory)  # pyright: ignore
    with pytest.raises(InfrastructureError, match="simulator bundled: out of memory"):
        simulator.diagnose([failure("a")])
