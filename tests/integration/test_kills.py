"""A run that is killed and resumed ends as if nothing had happened. `benchmarks/reliability/kills.py` does it at length."""

from collections.abc import Generator
from pathlib import Path

import pytest

from fission_grpo.training import checkpoint
from killing.differences import lines
from killing.endpoint import Endpoint, answering
from killing.kinds import ENDPOINT, EPISODE, STEP, Kind
from killing.places import CHOSEN
from killing.processes import run_warm
from killing.trials import Death, undergo


@pytest.fixture(scope="module")
def endpoint() -> Generator[Endpoint]:
    with answering() as endpoint:
        yield endpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "places"),
    [
        (
            STEP,
            {
                "half a line of metrics.jsonl": [Death(logged=2, kept=2)],
                "deleting, then the next save": [Death(3, 3), Death(4, 3)],
                "trained policy saved, not in its place": [Death(6, 6)],
            },
        ),
        (EPISODE, {"interception": None}),
        (ENDPOINT, {"a reply's line, then the next save": None}),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else "",
)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, endpoint: Endpoint, kind: Kind, places: dict[str, list[Death] | None]
) -> None:
    whole = tmp_path / f"whole-{kind.name}"
    run_warm(kind.train(whole, endpoint), whole)
    assert has_every_state(whole)
    chosen = [trial for trial in CHOSEN if trial.kind is kind and trial.name in places]
    assert len(chosen) == len(places)
    for number, trial in enumerate(chosen):
        outcome = undergo(trial, tmp_path / f"{kind.name}-{number}", whole, endpoint)
        assert outcome.differences == []
        assert outcome.deaths == (places[trial.name] or outcome.deaths)

    before = {path: path.read_bytes() for path in (whole / "model").iterdir()}
    if kind is STEP:
        run_warm(["resume", str(whole)], whole)  # a finished run stays as it is
        assert {path: path.read_bytes() for path in (whole / "model").iterdir()} == before


def has_every_state(run: Path) -> bool:
    """What is equal because it is empty would say little."""
    newest = checkpoint.newest_complete(run)
    assert newest is not None
    state = checkpoint.load_state(newest)
    return bool(state["engine"]["pool"] and state["engine"]["odds"] and state["queue"] and lines(run / "metrics.jsonl"))
