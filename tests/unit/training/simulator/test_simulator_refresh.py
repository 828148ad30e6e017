"""Refreshing the local simulator: when it is due, what stops it, and which version serves afterwards.

Training runs in a process of its own, as in earnest; here a script stands in for it, but for the last test.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from failure_strategies import erring

from fission_grpo.errors import InfrastructureError
from fission_grpo.recipe import AlignmentSection, LocalSimulatorSection, RefreshSection
from fission_grpo.rollout.loading import locate_model
from fission_grpo.simulators import FallbackChain, RulesSimulator
from fission_grpo.simulators.corrupted import corrupted
from fission_grpo.simulators.local import LocalSimulator, SimulatorCard, load_card
from fission_grpo.training.simulator import refresh
from fission_grpo.training.simulator.alignment import AlignmentMonitor
from fission_grpo.training.simulator.examples import load_examples, part_of
from fission_grpo.training.simulator.refresh import LEAST_EXAMPLES, SHARES, Refresher
from fission_grpo.types import Failure, Feedback

FAILURES = [erring(number) for number in range(240)]
LOCAL = LocalSimulatorSection(model="bundled", device="cpu", max_new_tokens=16, batch_size=4)


@pytest.fixture(scope="module")
def simulator() -> LocalSimulator:
    return LocalSimulator(**LOCAL.model_dump())


class Training:
    """Stands in for the subprocess: writes no weights, and remembers how it was called."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []

    def __call__(self, command: list[str], *, env: Mapping[str, str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        self.environments.append(env)
        return subprocess.CompletedProcess(command, self.status)


Make = Callable[..., Refresher]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    training = Training()
    monkeypatch.setattr(refresh.subprocess, "run", training)
    return training


@pytest.fixture
def make(tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Refreshers whose versions are named by their folder, and measure as `measured` says: (old, new)."""

    def make(measured: Sequence[int] = (5, 5), **settings: Any) -> Refresher:
        shares = iter(measured)
        monkeypatch.setattr(refresh, "_sound", lambda simulator, failures: (next(shares), len(failures)))  # pyright: ignore
        monkeypatch.setattr(Refresher, "_load", lambda self, version: _version(version))  # pyright: ignore
        return Refresher(RefreshSection(**settings), LOCAL, tmp_path)

    return make


def _version(number: int) -> LocalSimulator:
    made = object.__new__(LocalSimulator)
    made.model, made.card = f"version-{number}", SimulatorCard()
    return made


def served(chain: FallbackChain) -> str:
    first: Any = chain.simulators[0]
    return str(getattr(first, "simulator", first).model)


def test_due_by_interval() -> None:
    refresher = Refresher(RefreshSection(every=20), LOCAL, Path("run"))
    assert [step for step in range(0, 50, 10) if refresher.due(step, low=True)] == [20, 30, 40]
    refresher.load_state_dict({"version": 1, "made": 1, "refreshed_at": 20}, FallbackChain([]))
    assert not refresher.due(39, low=True)
    assert refresher.due(40, low=False)


def test_due_by_low_alignment() -> None:
    refresher = Refresher(RefreshSection(), LOCAL, Path("run"))
    assert not refresher.due(1000, low=False)
    assert refresher.due(1, low=True)


def test_too_few_examples_put_it_off(make: Make, training: Training, simulator: LocalSimulator, tmp_path: Path) -> None:
    refresher, chain = make(every=10), FallbackChain([simulator])
    record = refresher.refresh(10, FAILURES[: 2 * LEAST_EXAMPLES], chain)
    assert record["used"] is False
    assert record["reason"] == f"fewer than {LEAST_EXAMPLES} examples in a part"
    assert training.commands == []
    assert list(tmp_path.iterdir()) == []
    assert (refresher.version, served(chain)) == (1, "bundled")
    assert refresher.due(11, low=False)  # tried again at the next measurement


def test_a_better_version_is_swapped_in(make: Make, training: Training, simulator: LocalSimulator, tmp_path: Path) -> None:
    refresher, chain = make((3, 4), failures=240), FallbackChain([simulator, RulesSimulator()])
    simulator.tokens.update(prefill=10)
    record = refresher.refresh(10, FAILURES, chain)
    held_out = sum(part_of(each.scenario, SHARES) == "test" for each in FAILURES)
    assert record.pop("seconds") >= 0
    assert record == {
        "event": "refresh",
        "step": 10,
        "version": 2,
        "examples": {part: sum(part_of(each.scenario, SHARES) == part for each in FAILURES) for part in SHARES},
        "old": [3, held_out],
        "new": [4, held_out],
        "used": True,
        "questions": {},
    }
    assert json.loads(json.dumps(record)) == record
    assert (refresher.version, served(chain)) == (2, "version-2")
    assert cast(LocalSimulator, chain.simulators[0]).tokens == simulator.tokens  # one count, whatever the version
    trained = load_examples(tmp_path / "simulator" / "version-2" / "data", "train")
    assert all(part_of(each.failure.scenario, SHARES) == "train" for each in trained)
    [command] = training.commands
    assert command[1:5] == ["-m", "fission_grpo", "simulator", "train"]


def test_the_training_of_a_killed_run_is_not_in_its_way(
    make: Make, training: Training, simulator: LocalSimulator, tmp_path: Path
) -> None:
    """It lives on and writes into its folder; what is there of the same version is made again."""
    versions = tmp_path / "simulator"
    for left in (".version-2-1", "version-2"):
        (versions / left / "model").mkdir(parents=True)
    assert make((4, 4), failures=240).refresh(10, FAILURES, FallbackChain([simulator]))["used"]
    [command] = training.commands
    assert Path(command[-1]) not in (versions / "version-2", versions / ".version-2-1")
    assert [path.name for path in versions.iterdir()] == ["version-2"]
    assert not (versions / "version-2" / "model").exists()


def test_as_good_is_good_enough_and_worse_is_not(make: Make, simulator: LocalSimulator) -> None:
    for measured, used in (((4, 4), True), ((4, 3), False)):
        refresher, chain = make(measured, failures=240), FallbackChain([simulator])
        record = refresher.refresh(10, FAILURES, chain)
        assert record["used"] is used
        assert served(chain) == ("version-2" if used else "bundled")
    assert record["reason"] == "it measures worse"
    assert (record["old"][0], record["new"][0]) == (4, 3)


def test_versions_that_were_not_used_keep_their_number(make: Make, simulator: LocalSimulator) -> None:
    refresher, chain = make((4, 3, 4, 5), failures=240), FallbackChain([simulator])
    assert [refresher.refresh(step, FAILURES, chain)["version"] for step in (10, 20)] == [2, 3]
    assert (refresher.version, served(chain)) == (3, "version-3")


def test_a_training_that_fails_is_recorded(make: Make, training: Training, simulator: LocalSimulator) -> None:
    training.status = 1
    refresher, chain = make(failures=240), FallbackChain([simulator])
    record = refresher.refresh(10, FAILURES, chain)
    assert record["used"] is False
    assert "ended with status 1; see " in record["reason"]
    assert record["reason"].endswith("train.log")
    assert (refresher.version, served(chain)) == (1, "bundled")


def test_the_training_knows_nothing_of_a_launcher(
    make: Make, training: Training, simulator: LocalSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", "/models")
    make(failures=240).refresh(10, FAILURES, FallbackChain([simulator]))
    [environment] = training.environments
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"} & environment.keys()
    assert not any(name.startswith(("TORCHELASTIC_", "ACCELERATE_")) for name in environment)
    assert environment["HF_HOME"] == "/models"


def test_a_teacher_that_is_down_puts_it_off(tmp_path: Path, training: Training, simulator: LocalSimulator) -> None:
    class Down:
        name = "endpoint"

        def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
            raise InfrastructureError("no answer")

    refresher = Refresher(RefreshSection(failures=240), LOCAL, tmp_path, Down())
    record = refresher.refresh(10, FAILURES, FallbackChain([simulator]))
    assert (record["used"], record["examples"]) == (False, {"train": 0, "validation": 0, "test": 0})
    assert training.commands == []


def test_a_corrupted_simulator_stays_corrupted(make: Make, simulator: LocalSimulator) -> None:
    wrapper = corrupted(simulator, 0.5)
    refresher, chain = make((4, 5), failures=240), FallbackChain([wrapper])
    assert refresher.refresh(10, FAILURES, chain)["used"]
    assert chain.simulators == [wrapper]
    assert served(chain) == "version-2"


def test_a_resumed_run_is_served_by_its_checkpoints_version(make: Make, simulator: LocalSimulator) -> None:
    refresher, chain = make((4, 5), failures=240), FallbackChain([simulator])
    refresher.refresh(10, FAILURES, chain)
    state = json.loads(json.dumps(refresher.state_dict()))
    assert state == {"version": 2, "made": 2, "refreshed_at": 10}
    resumed, again = make((4, 5), failures=240), FallbackChain([simulator])
    resumed.load_state_dict(state, again)
    assert (resumed.version, served(again)) == (2, "version-2")
    assert resumed.refresh(20, FAILURES, again)["version"] == 3


def test_the_monitor_asks_for_it_where_alignment_is_low(make: Make, simulator: LocalSimulator) -> None:
    written: list[dict[str, Any]] = []
    refresher, chain = make((4, 5), failures=240), FallbackChain([corrupted(RulesSimulator(), 0.0), RulesSimulator()])
    chain.simulators[0] = wrapper = corrupted(simulator, 1.0)
    monitor = AlignmentMonitor(
        AlignmentSection(every=1, failures=2), chain, lambda record: written.append(dict(record)), refresher
    )
    monitor.note_failures(FAILURES)
    monitor.at_checkpoint(1)
    assert [record["event"] for record in written] == ["measurement", "refresh"]
    assert (written[0]["version"], written[0]["simulator"]) == (1, "local")
    assert wrapper.simulator.model == "version-2"  # pyright: ignore
    resumed_chain = FallbackChain([corrupted(simulator, 1.0)])
    resumed = AlignmentMonitor(AlignmentSection(), resumed_chain, written.append, make(failures=240))  # pyright: ignore
    resumed.load_state_dict(monitor.state_dict())
    assert served(resumed_chain) == "version-2"


@pytest.mark.slow
def test_a_real_training_makes_a_version_that_serves(tmp_path: Path) -> None:
    """Without the system message, which would be most of what so small a model reads."""
    base = tmp_path / "base"
    shutil.copytree(locate_model("bundled"), base)
    SimulatorCard(instruction="").save(base)
    local = LocalSimulatorSection(model=str(base), device="cpu", max_new_tokens=48)
    chain = FallbackChain([LocalSimulator(**local.model_dump())])
    trainer = {"max_steps": 12, "learning_rate": 2e-3, "per_device_train_batch_size": 16}
    trainer |= {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 12, "save_steps": 12}
    refresher = Refresher(RefreshSection(failures=240, trainer=trainer), local, tmp_path)
    record = refresher.refresh(10, FAILURES, chain)
    assert record["used"] is True, (tmp_path / "simulator" / "version-2" / "train.log").read_text()
    assert record["new"][0] > record["old"][0]  # the policy as it is bundled is no simulator
    folder = tmp_path / "simulator" / "version-2" / "model"
    assert served(chain) == str(folder)
    card = load_card(folder)
    assert (card.examples, card.instruction) == (record["examples"]["train"], "")
