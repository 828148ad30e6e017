"""The trajectories of some runs, packed into a page: `templates/browser.js` unpacks, searches and shows them.

The JSON inside is gzipped and written in base64: small, and without a character that means anything to HTML. Texts stand
once each, in `texts`, and are named by their place: many rollouts say the same, and those of a group answer one dialogue.

texts     [str]
runs      [{label, colour}]
groups    [{run, recovery, line, step, task, dialogue: [[role, text]], rollouts}], newest first; a recovery group also has
          `key`, `failed` {text, results, kind, error_kind, attempt} and `feedback` {text, source, level, replaced}
rollouts  [{segments: [[text, trained]], reward, outcome, advantage, failure: {key, kind, error_kind, turn} or null}]
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from fission_grpo.reports.data import MOST_TRAJECTORIES, GroupLog, Run
from fission_grpo.reports.plots import colours_of
from fission_grpo.reports.texts import said, visible


@dataclass(frozen=True)
class Trajectories:
    """What the browser in a page gets.

    Attributes:
        data: the packed trajectories.
        shown: how many they are.
        total: how many the runs have logged.
    """

    data: str
    shown: int
    total: int


@dataclass(frozen=True)
class _Group:
    """A line of a log of groups, and where it stands."""

    run: int
    is_recovery: bool
    line: int
    record: Mapping[str, Any]

    @property
    def rollouts(self) -> Sequence[Mapping[str, Any]]:
        return self.record["recoveries" if self.is_recovery else "rollouts"]

    @property
    def age(self) -> tuple[int, bool, int]:
        """Orders groups from old to new."""
        return int(self.record["step"]), self.is_recovery, self.line


class _Texts:
    """Texts, each of which stands once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self._places.setdefault(visible(text), len(self._places))

    def all(self) -> list[str]:
        return list(self._places)


def pack_trajectories(runs: Sequence[Run], most: int = MOST_TRAJECTORIES) -> Trajectories:
    """The newest trajectories of all runs, equally many of each as far as they go."""
    texts, chosen = _Texts(), _newest(runs, most)
    colours = colours_of([run.label for run in runs])
    content = {
        "groups": [_group(group, texts) for group in chosen],
        "runs": [{"label": visible(run.label), "colour": colours[run.label]} for run in runs],
        "texts": texts.all(),
    }
    written = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    packed = gzip.compress(written.encode(), compresslevel=5, mtime=0)  # the next level takes three times as long
    return Trajectories(
        data=base64.b64encode(packed).decode(),
        shown=sum(len(group.rollouts) for group in chosen),
        total=sum(run.explorations.trajectories + run.recoveries.trajectories for run in runs),
    )


def _newest(runs: Sequence[Run], most: int) -> list[_Group]:
    """Whole groups, newest first; the run with the fewest trajectories so far gives the next, while they fit."""
    waiting = {
        index: sorted(
            (*_groups(index, run.explorations, False), *_groups(index, run.recoveries, True)), key=lambda each: each.age
        )
        for index, run in enumerate(runs)
    }
    taken = dict.fromkeys(waiting, 0)
    chosen: list[_Group] = []
    while left := [index for index, groups in waiting.items() if groups]:
        group = waiting[min(left, key=lambda index: taken[index])].pop()
        if sum(taken.values()) + len(group.rollouts) > most:
            break
        taken[group.run] += len(group.rollouts)
        chosen.append(group)
    return sorted(chosen, key=lambda each: (-each.age[0], each.run, each.is_recovery, each.line))


def _groups(run: int, log: GroupLog, is_recovery: bool) -> list[_Group]:
    return [_Group(run, is_recovery, line, record) for line, record in enumerate(log.groups, start=log.first)]


def _group(group: _Group, texts: _Texts) -> dict[str, Any]:
    record = group.record
    source = record["failure"] if group.is_recovery else record
    packed: dict[str, Any] = {
        "run": group.run,
        "recovery": group.is_recovery,
        "line": group.line,
        "step": int(record["step"]),
        "task": visible(str(source["task_id"])),
        "dialogue": [[visible(str(each["role"])), texts.place(said(each))] for each in source["messages"]],
        "rollouts": [_rollout(each, texts) for each in group.rollouts],
    }
    return packed | (_failure_and_feedback(record, texts) if group.is_recovery else {})


def _failure_and_feedback(record: Mapping[str, Any], texts: _Texts) -> dict[str, Any]:
    failure, feedback = record["failure"], record["feedback"]
    answers = [result["content"] for result in failure.get("results", ()) if result["content"] != feedback["text"]]
    return {
        "key": record.get("key"),
        "failed": {
            "text": texts.place(failure["text"]),
            "results": [texts.place(answer) for answer in answers],
            **_kinds(failure),
            "attempt": failure.get("attempt", 0),
        },
        "feedback": {
            "text": texts.place(feedback["text"]),
            "source": visible(feedback["source"]),
            "level": int(feedback["level"]),
            "replaced": visible(feedback.get("replaced") or ""),
        },
    }


def _rollout(rollout: Mapping[str, Any], texts: _Texts) -> dict[str, Any]:
    segments: list[tuple[str, bool]] = rollout["segments"] if "segments" in rollout else [(rollout["text"], True)]
    advantage, failure = rollout["advantage"], rollout.get("failure")
    return {
        "segments": [[texts.place(text), int(trained)] for text, trained in segments],
        "reward": _finite(rollout["reward"]),
        "outcome": bool(rollout["outcome"]),
        "advantage": [_finite(each) for each in advantage] if isinstance(advantage, list) else _finite(advantage),
        "failure": failure and {"key": failure["key"], **_kinds(failure), "turn": failure.get("turn", 0)},
    }


def _kinds(failure: Mapping[str, Any]) -> dict[str, str | None]:
    error_kind = failure.get("error_kind")
    return {"kind": visible(failure["kind"]), "error_kind": error_kind and visible(error_kind)}


def _finite(value: float | None) -> float | None:
    """The number to four places; None where there is none, as JSON knows no NaN."""
    return None if value is None or not isfinite(value) else round(value, 4)
