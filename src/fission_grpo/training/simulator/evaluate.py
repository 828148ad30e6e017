"""Evaluates simulators on fresh failures of a policy on held-out tasks (`fission simulator evaluate`).

All simulators see the same failures. Fixed sentence, environment and rules are played beside them, for utility.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord
from fission_grpo.evaluation.statistics import paired_difference, summary
from fission_grpo.failure_files import failure_from_json
from fission_grpo.json_lines import read_json_lines
from fission_grpo.recipe import Recipe
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.environment import EnvironmentSimulator
from fission_grpo.simulators.fixed import FixedSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.training.lengths import Progress
from fission_grpo.training.simulator.measures import (
    MEASURES,
    confusion,
    diagnoses,
    judge,
    majority_agreement,
    mean_words,
    records_of,
)
from fission_grpo.training.simulator.sampling import Playground, open_playground, sample_failures
from fission_grpo.training.simulator.utility import (
    ANSWERED,
    ANSWERED_SECRET,
    RECOVERED,
    blind_answers,
    recoveries,
    told_answer,
)
from fission_grpo.types import Failure, FailureKind, Feedback


@dataclass(frozen=True)
class Estimate:
    """A share with its numerator, denominator and 95% interval, clustered by scenario."""

    numerator: int
    denominator: int
    low: float
    high: float

    @property
    def ratio(self) -> Ratio:
        return Ratio(self.numerator, self.denominator)


@dataclass(frozen=True)
class Change:
    """A difference of two shares over the same failures, with its 95% interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class SimulatorResult:
    """One simulator.

    Attributes:
        measures: by the names of `measures.MEASURES`, of its own words before the guard.
        labels: agreement with kinds labelled by hand, where there are labels.
        confusion: established kind -> diagnosed kind -> failures.
        words: mean length of a message.
        utility: how often the policy recovers, given this simulator behind the chain's guard and fallback.
        over_fixed: the same minus that of the fixed sentence.
        blind: how often a reader gives the answer from schema and feedback alone.
        gain: the same minus that of the fixed sentence.
        blind_secret, secret_gain: the same on the failures whose answer holds a secret (`utility.with_secret`).
        counts: what the chain did: answers by source, leaks, second attempts.
    """

    name: str
    measures: Mapping[str, Estimate]
    labels: Estimate | None
    confusion: Mapping[str, Mapping[str, int]]
    words: float
    utility: Estimate
    over_fixed: Change
    blind: Estimate
    gain: Change
    blind_secret: Estimate
    secret_gain: Change
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Evaluation:
    """All simulators on the same failures.

    Attributes:
        settings: policy, reader, number of failures, samples of each, seed.
        majority: agreement of always saying the most frequent kind.
        told: how often the reader gives the answer when it is told; without a high value no gain means anything.
    """

    settings: Mapping[str, Any]
    majority: Ratio
    told: Estimate
    results: Sequence[SimulatorResult]

    def save(self, path: Path) -> None:
        """Writes the evaluation as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True)
class Labelled:
    """Failures whose kind was labelled by hand."""

    failures: Sequence[Failure]
    labels: Sequence[FailureKind]


BASELINES = (FixedSimulator.name, EnvironmentSimulator.name, RulesSimulator.name)
"""Evaluated with every simulator."""


class SimulatorEvaluator:
    """Evaluates simulators on one set of failures, one after the other.

    Args:
        playground: the policy that recovers, on held-out tasks.
        reader: the policy that answers without the dialogue; default: the playground's own.
        samples: recoveries of every failure, and answers of the reader.
        labelled: failures whose kind was labelled by hand.
    """

    def __init__(
        self,
        playground: Playground,
        failures: Sequence[Failure],
        *,
        reader: Playground | None = None,
        samples: int = 4,
        seed: int = 0,
        labelled: Labelled | None = None,
    ) -> None:
        self._failures = list(failures)
        self._playground = playground
        self._reader = reader or playground
        self._samples = samples
        self._seed = seed
        self._labelled = labelled
        self._fixed = FixedSimulator().diagnose(self._failures)
        self._fixed_recoveries = self._recover(self._fixed)
        self._fixed_answers = self._blind(self._failures, self._fixed)

    def run(self, simulators: Sequence[tuple[str, Simulator]], progress: Progress) -> Evaluation:
        """The baselines, then the simulators, in order."""
        baselines: list[Simulator] = [FixedSimulator(), EnvironmentSimulator(), RulesSimulator()]
        everyone = [*((each.name, each) for each in baselines), *simulators]
        results: list[SimulatorResult] = []
        for index, (name, simulator) in enumerate(everyone):
            progress(f"evaluating {name}", index, len(everyone))
            results.append(self._evaluate(name, simulator))
        progress("evaluating", len(everyone), len(everyone))
        answerable = [failure for failure in self._failures if failure.reference]
        told = self._blind(answerable, [told_answer(failure) for failure in answerable])
        settings = {
            "policy": self._playground.name,
            "reader": self._reader.name,
            "failures": len(self._failures),
            "samples": self._samples,
            "seed": self._seed,
        }
        return Evaluation(settings, majority_agreement(self._failures), _estimate(told, ANSWERED), results)

    def _evaluate(self, name: str, simulator: Simulator) -> SimulatorResult:
        judged = judge(self._failures, diagnoses(simulator, self._failures))
        records = records_of(judged)
        chain = FallbackChain([simulator] if name in BASELINES else [simulator, RulesSimulator()])
        served = chain.diagnose(self._failures)
        recovered, answered = self._recover(served), self._blind(self._failures, served)
        return SimulatorResult(
            name=name,
            measures={each: _estimate(records, each) for each in MEASURES},
            labels=self._label_agreement(simulator),
            confusion=confusion(judged),
            words=mean_words(judged),
            utility=_estimate(recovered, RECOVERED),
            over_fixed=_change(recovered, self._fixed_recoveries, RECOVERED),
            blind=_estimate(answered, ANSWERED),
            gain=_change(answered, self._fixed_answers, ANSWERED),
            blind_secret=_estimate(answered, ANSWERED_SECRET),
            secret_gain=_change(answered, self._fixed_answers, ANSWERED_SECRET),
            counts=dict(chain.counts),
        )

    def _recover(self, feedbacks: Sequence[Feedback]) -> list[EpisodeRecord]:
        return recoveries(self._playground, self._failures, feedbacks, self._samples, self._seed)

    def _blind(self, failures: Sequence[Failure], feedbacks: Sequence[Feedback]) -> list[EpisodeRecord]:
        reader = self._reader
        sampling = reader.sampling(self._seed)
        return blind_answers(reader.policy, reader.chat, failures, feedbacks, sampling, self._samples)

    def _label_agreement(self, simulator: Simulator) -> Estimate | None:
        if self._labelled is None:
            return None
        feedbacks = diagnoses(simulator, self._labelled.failures)
        triples = zip(self._labelled.failures, feedbacks, self._labelled.labels, strict=True)
        agreed = [
            (failure, int(feedback.kind is label and feedback.replaced is None)) for failure, feedback, label in triples
        ]
        records = [EpisodeRecord(each.task_id, each.scenario, 0, "", {"label": (right, 1)}) for each, right in agreed]
        return _estimate(records, "label")


def evaluate_simulators(
    recipe: Recipe,
    simulators: Sequence[tuple[str, Simulator]],
    *,
    count: int,
    samples: int,
    seed: int,
    policy: str | None = None,
    reader: str | None = None,
    labelled: Labelled | None = None,
    progress: Progress,
) -> Evaluation:
    """Evaluates simulators, by the names they are shown under, on fresh failures on a recipe's held-out tasks.

    Args:
        count: failures.
        policy: makes them, and recovers; default: the recipe's.
        reader: answers without the dialogue; default: the policy.

    Raises:
        UserError: a mistake in the recipe, its tasks or a model, or the policy does not fail at all.
    """
    playground = open_playground(recipe, "test", policy)
    failures = held_out_failures(playground, count, seed, progress)
    progress("recovering with the fixed sentence", 0, 1)
    evaluator = SimulatorEvaluator(
        playground,
        failures,
        reader=open_playground(recipe, "test", reader) if reader else None,
        samples=samples,
        seed=seed,
        labelled=labelled,
    )
    return evaluator.run(simulators, progress)


def load_labels(path: Path) -> Labelled:
    """Reads failures labelled by hand: lines `{"failure": {...}, "label": kind}`.

    Messages that could not be read are left out: no simulator is asked about them.

    Raises:
        UserError: no such file, or a broken line.
    """
    if not path.is_file():
        raise UserError(f"--labels {path}: no such file")
    read = read_json_lines(path, "--labels", _labelled, "a labelled failure")
    pairs = [(failure, label) for failure, label in read if failure.format_error is None]
    return Labelled([failure for failure, _ in pairs], [label for _, label in pairs])


def _labelled(row: Mapping[str, Any]) -> tuple[Failure, FailureKind]:
    return failure_from_json(row["failure"]), FailureKind(row["label"])


def held_out_failures(playground: Playground, count: int, seed: int, progress: Progress) -> list[Failure]:
    """Fresh failures of the playground's policy.

    Raises:
        UserError: it does not fail at all.
    """
    failures = sample_failures(playground, count, seed, lambda done, of: progress("failures", done, of))
    if not failures:
        raise UserError("the policy made no failure on these tasks: there is nothing to evaluate a simulator on")
    return failures


def _estimate(records: Sequence[EpisodeRecord], metric: str) -> Estimate:
    (row,) = summary([records], [metric])
    return Estimate(row.ratio.numerator, row.ratio.denominator, row.interval.low, row.interval.high)


def _change(first: Sequence[EpisodeRecord], second: Sequence[EpisodeRecord], metric: str) -> Change:
    found = paired_difference([first], [second], metric)
    return Change(found.difference, found.interval.low, found.interval.high)
