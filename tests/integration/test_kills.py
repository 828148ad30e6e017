"""A run that is killed and resumed ends as if nothing had happened. `benchmarks/reliability/kills.py` does it at length."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fission_grpo.training import checkpoint
from killing.differences import lines
from killing.endpoint import Endpoint, answering
from killing.kinds import ENDPOINT, EPISODE, STEP, Kind
from killing.places import BEFORE_SEAL, IN_ROTATION, METRICS_LINE, RENAME_MODEL, REPLY_LINE
from killing.points import Point
from killing.processes import run_warm
from killing.trials import Death, Trial, undergo

EARLY_REPLY_LINE = replace(REPLY_LINE, entry=2)
NEXT_SEAL = replace(BEFORE_SEAL, entry=1)
WITHOUT_EVALUATION = replace(ENDPOINT, updates=4, settings=(*ENDPOINT.settings, "evaluation.tasks=0"))
POOLING = Point("fission_grpo.fission.pool:CorrectivePool.add", entry=10)


@pytest.fixture(scope="module")
def endpoint() -> Generator[Endpoint]:
    with answering() as endpoint:
        yield endpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "kills", "deaths"),
    [
        (
            replace(STEP, updates=4),
            [METRICS_LINE, IN_ROTATION, NEXT_SEAL, RENAME_MODEL],
            [Death(logged=2, kept=2), Death(3, 3), Death(4, 3), Death(4, 4)],
        ),
        (replace(EPISODE, updates=3), [POOLING], [Death(2, 2)]),
        (WITHOUT_EVALUATION, [EARLY_REPLY_LINE, NEXT_SEAL], [Death(1, 1), Death(2, 1)]),
    ],
    ids=["step", "episode", "endpoint"],
)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, endpoint: Endpoint, kind: Kind, kills: Sequence[Point], deaths: list[Death]
) -> None:
    whole = tmp_path / f"whole-{kind.name}"
    run_warm(kind.train(whole, endpoint), whole)
    assert has_every_state(whole)
    outcome = undergo(Trial("in CI", kind, kills), tmp_path / kind.name, whole, endpoint)
    assert outcome.differences == []
    assert outcome.deaths == deaths


def has_every_state(run: Path) -> bool:
    """What is equal because it is empty would say little."""
    newest = checkpoint.newest_complete(run)
    assert newest is not None
    state = checkpoint.load_state(newest)
    return bool(state["engine"]["pool"] and state["engine"]["odds"] and state["queue"] and lines(run / "metrics.jsonl"))
