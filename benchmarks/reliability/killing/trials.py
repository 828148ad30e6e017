"""One run, killed once or several times, resumed to its end, and compared with the run that never was."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.training import checkpoint
from fission_grpo.training.simulator.serving import CACHE_FILE
from killing.differences import differences
from killing.endpoint import Endpoint
from killing.kinds import Kind
from killing.points import SEALS, Point
from killing.processes import run_until_killed, run_warm


@dataclass(frozen=True)
class Trial:
    """A run to be killed.

    Attributes:
        name: where, in words.
        kills: the first meets `fission train`, each further one `fission resume`; a number is a time in seconds.
    """

    name: str
    kind: Kind
    kills: Sequence[Point | float]


@dataclass(frozen=True)
class Death:
    """What a kill left behind: the updates that the log of metrics had whole, and that of the checkpoint to go on from."""

    logged: int
    kept: int


@dataclass(frozen=True)
class Outcome:
    """What became of a trial; `differences` from the whole run, none where it is exact."""

    trial: Trial
    deaths: list[Death] = field(default_factory=list[Death])
    differences: list[str] = field(default_factory=list[str])


def undergo(trial: Trial, run: Path, whole: Path, endpoint: Endpoint) -> Outcome:
    """Starts the run, kills it at each of the trial's points, resumes it to its end and compares it.

    Raises:
        RunFailed: a process ended in another way than by the kill, or the last one not well.
    """
    outcome = Outcome(trial)
    command = trial.kind.train(run, endpoint)
    for killed in trial.kills:
        if not run_until_killed(command, run, killed):
            break  # a random time behind its end
        outcome.deaths.append(Death(_logged(run), _kept(run)))
        outcome.differences.extend(_lost_checkpoint(run))
        command = ["resume", str(run)] if (run / "recipe.yaml").exists() else command
    else:
        heard, asked = ReplyCache(run / CACHE_FILE), len(endpoint.asked[run.name])
        run_warm(command, run)
        if any(heard.get(key) is not None for key in endpoint.asked[run.name][asked:]):
            outcome.differences.append("the endpoint was asked again for what it had answered")
    outcome.differences.extend(differences(run, whole))
    return outcome


def _logged(run: Path) -> int:
    log = run / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _kept(run: Path) -> int:
    newest = checkpoint.newest_complete(run)
    return checkpoint.step_of(newest) if newest else 0


def _lost_checkpoint(run: Path) -> list[str]:
    """Whether the newest checkpoint that was ever sealed still counts."""
    seals = Path(f"{run}.{SEALS}")
    newest = max(map(int, seals.read_text().split())) if seals.exists() else 0
    return [f"checkpoint-{newest} was whole and is lost"] if _kept(run) < newest else []
