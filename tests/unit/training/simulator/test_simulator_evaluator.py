"""The evaluator on a policy by script: every simulator on the same failures, and nothing stops it."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from failing import failure
from failure_strategies import erring, without_pattern
from scripted import CharacterChat, ScriptedPolicy, calling

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.recipe import Recipe
from fission_grpo.rollout.policy import Sampling
from fission_grpo.simulators.base import Simulator
from fission_grpo.training.simulator.evaluate import Evaluation, Labelled, SimulatorEvaluator, held_out_failures
from fission_grpo.training.simulator.sampling import PASSES, SIBLINGS, Playground, sample_failures
from fission_grpo.types import CorrectiveContext, Failure, FailureKind, Feedback, FeedbackLevel

FAILURES = [*(erring(number) for number in range(4)), *(without_pattern(f"house-{number}") for number in range(4))]


class World:
    """Rows whose messages fail, but for every `right`th; a recovery is right where it was told `pattern`."""

    def __init__(self, count: int = 10, right: int = 10**9) -> None:
        self._count, self._right = count, right
        self.sampled = 0

    def dataset(self) -> list[dict[str, Any]]:
        return [{"row": index} for index in range(self._count)]

    def sample(self, rows: Sequence[dict[str, Any]], policy: object, sampling: Sampling) -> list[Any]:
        self.sampled += len(rows)
        outcomes = [row["row"] % self._right == self._right - 1 for row in rows]
        return [_Rollout(row["row"], outcome) for row, outcome in zip(rows, outcomes, strict=True)]

    def failure(self, rollout: Any) -> Failure:
        return failure(f"file{rollout.row}")

    def recover(self, contexts: Sequence[CorrectiveContext], policy: object, sampling: Sampling) -> list[bool]:
        return ["pattern" in context.feedback.text for context in contexts]


class _Rollout:
    def __init__(self, row: int, outcome: bool) -> None:
        self.row, self.outcome, self.reward = row, outcome, 1.0


def playground(world: World) -> Playground:
    reader = ScriptedPolicy(lambda said: calling(("find", {"pattern": "budget"})) if "budget" in said else "Done.")
    return Playground("scripted", cast(Any, reader), cast(ChatFormat, CharacterChat()), cast(Any, world), Recipe())


class Blabbing:
    """Says the answer, which the guard of the chain holds back."""

    def __init__(self, down: bool = False) -> None:
        self.name = "local"
        self._down = down

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        if self._down:
            raise InfrastructureError("down")
        kind = FailureKind.SCHEMA_VIOLATION
        return [Feedback("pattern should be 'budget'.", self.name, FeedbackLevel.FULL, kind)] * len(failures)


def evaluated(simulator: Simulator, failures: Sequence[Failure] = FAILURES, labelled: Labelled | None = None) -> Evaluation:
    evaluator = SimulatorEvaluator(playground(World()), failures, samples=2, labelled=labelled)
    return evaluator.run([("mine", simulator)], lambda text, done, of: None)


def test_all_are_judged_on_the_same_failures(tmp_path: Path) -> None:
    found = evaluated(Blabbing(), labelled=Labelled(FAILURES[3:5], [FailureKind.WRONG_TOOL, FailureKind.SCHEMA_VIOLATION]))
    assert [result.name for result in found.results] == ["fixed", "environment", "rules", "mine"]
    fixed, _, rules, mine = found.results
    assert (mine.measures["leak"].numerator, mine.measures["leak"].denominator) == (4, 8)
    assert (mine.counts["leaked/local"], mine.counts["answered/rules"]) == (4, 4)
    assert (rules.measures["agreement_all"].numerator, fixed.measures["agreement_all"].numerator) == (8, 0)
    assert (rules.labels and rules.labels.numerator, mine.labels and mine.labels.numerator) == (1, 1)
    assert (fixed.utility.numerator, rules.utility.numerator, rules.utility.denominator) == (0, 8, 16)
    assert rules.over_fixed.difference == 0.5
    assert (found.told.numerator, found.told.denominator) == (8, 16)  # the reader can give one of the two answers
    assert str(found.majority) == "0.500 (4/8)"
    found.save(tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "evaluation.json").read_text())["results"][3]["name"] == "mine"


def test_secrets_are_counted_apart_and_the_guard_keeps_them() -> None:
    found = evaluated(Blabbing())
    for result in found.results:
        assert (result.blind.numerator, result.blind.denominator) == (0, 16) or result.name == "mine"
        assert result.blind_secret.denominator == 8
    assert found.results[3].blind_secret.numerator == 0
    assert found.results[3].secret_gain.difference == 0.0


def test_a_simulator_that_is_down_is_unusable_and_the_others_are_still_judged() -> None:
    found = evaluated(Blabbing(down=True), labelled=Labelled(FAILURES[:1], [FailureKind.RUNTIME_ERROR]))
    mine = found.results[3]
    assert (mine.measures["usable"].numerator, mine.measures["usable"].denominator) == (0, 8)
    assert mine.counts["answered/rules"] == 8
    assert mine.confusion["runtime_error"] == {"(unusable)": 4}


def test_failures_without_any_reference_can_be_evaluated() -> None:
    bare = [replace(each, reference=()) for each in FAILURES]
    found = evaluated(Blabbing(), bare)
    assert (found.told.numerator, found.told.denominator) == (0, 0)
    assert math.isnan(found.results[0].secret_gain.difference)


def test_as_many_different_failures_as_asked_for() -> None:
    found = sample_failures(playground(World(600)), 300, seed=1)
    assert len(found) == len({each.key for each in found}) == 300
    assert found == sample_failures(playground(World(600)), 300, seed=1)
    assert found != sample_failures(playground(World(600)), 300, seed=2)


def test_a_policy_that_seldom_fails_gives_fewer() -> None:
    world = World(10, right=2)
    assert len(sample_failures(playground(world), 100)) == 5
    assert world.sampled == 10 * SIBLINGS * PASSES


def test_a_policy_that_never_fails_is_told() -> None:
    with pytest.raises(UserError, match="made no failure"):
        held_out_failures(playground(World(10, right=1)), 5, 0, lambda text, done, of: None)
