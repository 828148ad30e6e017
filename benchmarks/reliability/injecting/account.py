"""What was injected, beside what the run says of it: kind by kind, and whether any update is missing or stands twice."""

import json
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fission_grpo.simulators.chat_endpoint import UNASKED, Lost
from fission_grpo.training import checkpoint
from injecting.driving import STOPPED, End
from injecting.ledger import Ledger
from injecting.plan import Plan

HOUR = 3600.0
FULL = "a file has reached the largest size that is allowed"


@dataclass(frozen=True)
class Entry:
    """One kind of fault.

    Attributes:
        undone: of those injected, how many lay in updates that a resume did away with, and their lines with them.
        where: where the run tells of them.
        found: how many it tells of.
    """

    kind: str
    injected: int
    undone: int
    where: str
    found: int

    @property
    def balanced(self) -> bool:
        """Whether every fault that stands is told, and none that was not injected."""
        return self.injected - self.undone == self.found


def account(plan: Plan, ends: Sequence[End]) -> list[Entry]:
    """An entry for each kind that was injected or found."""
    every, standing = Ledger(plan.ledger).counts()
    run = Path(plan.run)
    metrics = lines_of(run / "metrics.jsonl")
    told = _told(metrics, [each for each in lines_of(run / "alignment.jsonl") if each["event"] == "measurement"])
    jumps = [line for line in metrics if line["step"] in plan.clock and 0 <= line["seconds"] < HOUR]
    entries = [
        *(
            Entry(kind, every[kind], every[kind] - standing[kind], where, found)
            for kind, (where, found) in told.items()
            if every[kind] or found
        ),
        Entry("clock", every["clock"], 0, "metrics: `seconds` of these updates, none negative or an hour long", len(jumps)),
        Entry("kill", every["kill"], 0, "processes ended by SIGKILL", _ended(ends, -signal.SIGKILL)),
        *(
            Entry(kind, every[kind], 0, f"processes ended with status 2 and one sentence on a {word}", _stopped(ends, word))
            for kind, word in (("disk/save", "checkpoint"), ("disk/log", "log"))
        ),
    ]
    unknown = every.keys() - {entry.kind for entry in entries}
    return [*entries, *(Entry(kind, every[kind], 0, "nowhere", 0) for kind in sorted(unknown))]


def gaps(plan: Plan) -> list[str]:
    """What is wrong with the files of a run that is over."""
    run = Path(plan.run)
    metrics, groups = lines_of(run / "metrics.jsonl"), lines_of(run / "trajectories" / "exploration_groups.jsonl")
    recoveries, measured = (lines_of(run / name) for name in ("trajectories/fission_groups.jsonl", "alignment.jsonl"))
    updates = list(range(1, plan.updates + 1))
    newest = checkpoint.newest_complete(run)
    checks = {
        "metrics.jsonl: each update once, in order": [line["step"] for line in metrics] == updates,
        "exploration_groups.jsonl: a line a group": _rows(groups) == _counted(metrics, "exploration_groups"),
        "fission_groups.jsonl: a line a group": _rows(recoveries) == _counted(metrics, "recovery_groups"),
        "alignment.jsonl: no checkpoint twice": len({line["step"] for line in measured}) == len(measured),
        "a whole checkpoint": newest is not None,
        "a trained policy": (run / "model" / "model.safetensors").exists(),
        "no draft left": not [path for path in run.glob(".*") if path.name.endswith(".partial")],
    }
    return [f"not so: {name}" for name, holds in checks.items() if not holds]


def masked(plan: Plan) -> int:
    """Rollouts without a reward, because the environment failed while they were judged."""
    folder = Path(plan.run) / "trajectories"
    exploration, recovery = (lines_of(folder / f"{name}_groups.jsonl") for name in ("exploration", "fission"))
    rollouts = [row for group in exploration for row in group["rollouts"]]
    rollouts += [row for group in recovery for row in group["recoveries"]]
    return sum(row["reward"] is None for row in rollouts)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The records of a log, none where there is no log yet; what a process is just writing is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _told(metrics: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]) -> dict[str, tuple[str, int]]:
    """By kind: where the run tells of it, and how often."""
    told = {
        "environment": (
            "metrics: `unused.infrastructure_failures`",
            sum(line["unused"].get("infrastructure_failures", 0) for line in metrics),
        ),
        "memory": ("metrics: `out_of_memory`", int(sum(line["out_of_memory"] for line in metrics))),
    }
    for reason in (each for each in Lost if each not in UNASKED):
        asked = sum(line["endpoint"].get(reason, 0) for line in metrics)
        told[f"endpoint/{reason}"] = (f"metrics: `endpoint.{reason}`", int(asked))
        asked = sum(line["questions"].get(reason, 0) for line in measured)
        told[f"alignment/{reason}"] = (f"alignment: `questions.{reason}`", int(asked))
    return dict(sorted(told.items()))


def _ended(ends: Sequence[End], status: int) -> int:
    return sum(end.status == status for end in ends)


def _stopped(ends: Sequence[End], word: str) -> int:
    return sum(end.status == STOPPED and f"Error: {word} " in end.said and FULL in end.said for end in ends)


def _rows(groups: Sequence[dict[str, Any]]) -> Counter[int]:
    return Counter(group["step"] for group in groups)


def _counted(metrics: Sequence[dict[str, Any]], field: str) -> Counter[int]:
    return Counter({line["step"]: int(line[field]) for line in metrics if line[field]})
