"""The alignment monitor: when it measures, what it writes, when it warns, and that a resumed run goes on the same."""

import json
import logging
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from failing import failure
from failure_strategies import erring, malformed

from fission_grpo.errors import InfrastructureError
from fission_grpo.recipe import AlignmentSection
from fission_grpo.simulators import EnvironmentSimulator, FallbackChain, FixedSimulator, RulesSimulator
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.corrupted import corrupted
from fission_grpo.training.simulator.alignment import AlignmentMonitor
from fission_grpo.types import CorrectiveContext, Failure, FailureKind, Feedback, FeedbackLevel, RuntimeErrorKind

FAILURES = [erring(number) for number in range(10)]


class Half:
    """Right about every second failure."""

    name = "local"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        kinds = [FailureKind.RUNTIME_ERROR, FailureKind.WRONG_TOOL]
        return [
            Feedback("something is wrong.", self.name, FeedbackLevel.FULL, kinds[index % 2])
            for index in range(len(failures))
        ]


class Down:
    name = "endpoint"

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        raise InfrastructureError("no answer")


def monitor(*simulators: Simulator, **settings: Any) -> tuple[AlignmentMonitor, list[dict[str, Any]]]:
    written: list[dict[str, Any]] = []
    chain = FallbackChain(simulators or [RulesSimulator()])
    return AlignmentMonitor(AlignmentSection(**settings), chain, lambda record: written.append(dict(record))), written


def context(given: Failure, source: str = "local", replaced: str | None = None) -> CorrectiveContext:
    return CorrectiveContext(given, Feedback("f", source, FeedbackLevel.FULL, replaced=replaced), (), ())


@pytest.mark.parametrize(
    ("every", "steps", "measured"),
    [(10, range(5, 35, 5), [10, 20, 30]), (10, [9, 11, 20, 21], [11, 21]), (1, [1, 2], [1, 2])],
)
def test_measured_at_checkpoints_that_are_far_enough_apart(every: int, steps: Sequence[int], measured: list[int]) -> None:
    watched, written = monitor(every=every)
    watched.note_failures(FAILURES)
    for step in steps:
        watched.at_checkpoint(step)
    assert [record["step"] for record in written] == measured


def test_nothing_is_measured_without_failures() -> None:
    watched, written = monitor(every=1)
    watched.note_failures([malformed()])  # its feedback is deterministic
    watched.at_checkpoint(1)
    assert written == []
    watched.note_failures(FAILURES)
    watched.at_checkpoint(2)
    assert [record["step"] for record in written] == [2]


def test_a_record_says_what_was_found() -> None:
    watched, written = monitor(Half(), RulesSimulator(), every=1, failures=8)
    watched.note_failures(FAILURES)
    watched.note_group(context(FAILURES[0]), [True, False, True])
    watched.note_group(context(FAILURES[1], "rules", "local"), [False, False])
    watched.note_group(context(malformed(), "rules"), [True])
    watched.note_group(context(failure("z", error_kind=RuntimeErrorKind.LOGIN_REQUIRED)), [True])
    watched.at_checkpoint(7)
    [record] = written
    assert record.pop("seconds") >= 0
    assert record == {
        "event": "measurement",
        "step": 7,
        "simulator": "local",
        "version": 1,
        "failures": 8,
        "usable": [8, 8],
        "leak": [0, 8],
        "agreement": [4, 8],
        "agreement_all": [4, 8],
        "sound": [4, 8],
        "sources": {"local": 2, "rules": 2},
        "fallback": [1, 3],  # the message that could not be read is no fallback
        "recovery": {"login_required": [1, 1], "malformed_call": [1, 1], "not_found": [2, 5]},
        "warn_below": 0.8,
        "questions": {},
        "tokens": {},
    }
    assert json.loads(json.dumps(record)) == record


def test_the_newest_failures_are_measured() -> None:
    seen: list[Failure] = []

    class Watching(Half):
        def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
            seen.extend(failures)
            return super().diagnose(failures)

    watched, _ = monitor(Watching(), every=1, failures=3)
    watched.note_failures(FAILURES[:4])
    watched.note_failures(FAILURES[4:])
    watched.at_checkpoint(1)
    assert seen == FAILURES[-3:]


def test_groups_are_counted_since_the_last_measurement() -> None:
    watched, written = monitor(every=1)
    watched.note_failures(FAILURES)
    watched.note_group(context(FAILURES[0]), [True])
    watched.at_checkpoint(1)
    watched.note_group(context(FAILURES[0], "rules"), [False])
    watched.at_checkpoint(2)
    assert [record["sources"] for record in written] == [{"local": 1}, {"rules": 1}]
    assert [record["recovery"] for record in written] == [{"not_found": [1, 1]}, {"not_found": [0, 1]}]


@pytest.mark.parametrize(
    ("simulator", "warned"),
    [
        (RulesSimulator(), False),
        (Half(), True),
        (corrupted(RulesSimulator(), 1.0), True),
        (Down(), True),
        (EnvironmentSimulator(), False),  # claims no kind, so that none of it is sound, and that is nothing to warn of
        (FixedSimulator(), False),
    ],
)
def test_warned_is_under_the_level(simulator: Simulator, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    watched, written = monitor(simulator, RulesSimulator(), every=1, warn_below=0.8)
    watched.note_failures(FAILURES)
    with caplog.at_level(logging.WARNING):
        watched.at_checkpoint(3)
    assert len(written) == 1
    assert [("update 3" in text, "simulator.alignment.warn_below" in text) for text in caplog.messages] == (
        [(True, True)] if warned else []
    )


def test_an_endpoint_that_is_down_stops_nothing() -> None:
    watched, written = monitor(Down(), every=1)
    watched.note_failures(FAILURES)
    watched.at_checkpoint(1)
    assert (written[0]["usable"], written[0]["sound"]) == ([0, 10], [0, 10])


def test_a_resumed_monitor_writes_the_same_record() -> None:
    watched, written = monitor(Half(), every=2, failures=4)
    watched.note_failures(FAILURES)
    watched.at_checkpoint(2)
    watched.note_group(context(FAILURES[1]), [True, False])
    watched.note_group(context(FAILURES[2], "rules", "local"), [False])
    saved = pickle.dumps(watched.state_dict())
    watched.note_group(context(FAILURES[1]), [True])  # nothing that is done afterwards may change what was saved
    resumed, again = monitor(Half(), every=2, failures=4)
    resumed.note_failures(FAILURES[:1])
    resumed.load_state_dict(pickle.loads(saved))
    resumed.note_group(context(FAILURES[1]), [True])
    for each in (watched, resumed):
        each.note_failures([replace(FAILURES[0], text="new")])
        each.at_checkpoint(3)  # too early
        each.at_checkpoint(4)
    for record in (*written, *again):
        record.pop("seconds")
    assert again == written[1:]
    assert again[0]["recovery"] == {"not_found": [2, 4]}


def test_a_state_is_no_window_on_the_monitor() -> None:
    watched, _ = monitor()
    watched.note_group(context(FAILURES[1]), [True])
    state = watched.state_dict()
    watched.note_group(context(FAILURES[1]), [True])
    assert state["recovered"] == {"not_found": [1, 1]}


def test_the_questions_of_a_measurement_stand_in_its_record() -> None:
    class Counts(Half):
        def __init__(self) -> None:
            self.counts = Counter(answered=7)

        def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
            self.counts.update(answered=len(failures) - 1, timeout=1)
            return super().diagnose(failures)

    watched, written = monitor(Counts(), every=1)
    watched.note_failures(FAILURES)
    watched.at_checkpoint(1)
    watched.at_checkpoint(2)
    assert [record["questions"] for record in written] == [{"answered": len(FAILURES) - 1, "timeout": 1}] * 2
