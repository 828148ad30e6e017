"""What a report is made of: runs, evaluations and recovery groups, read from run folders."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord, load_records, pool_failures, pool_metrics
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.loading import kept_recipe, read_settings
from fission_grpo.recipe.methods import METHODS
from fission_grpo.reports.alignment import Alignment, alignment_of
from fission_grpo.training.run_folder import ALIGNMENT_LOG, GROUP_LOGS

EVALUATION_FILE = "evaluation.jsonl"
"""In a run folder: the episodes of the trained policy on held-out tasks."""
START_FILE = "evaluation_start.jsonl"
"""In a run folder: the same for the policy that the run started from."""
START_TITLE = "Start"
MOST_TRAJECTORIES = 10_000
"""Trajectories that a report shows, the newest; more are read, counted and let go."""


@dataclass(frozen=True)
class Evaluation:
    """One policy on one set of tasks."""

    label: str
    records: Sequence[EpisodeRecord]

    @cached_property
    def metrics(self) -> Mapping[str, Ratio]:
        return pool_metrics(self.records)

    @cached_property
    def failures(self) -> Mapping[str, int]:
        return pool_failures(self.records)

    @property
    def episodes(self) -> int:
        """Episodes that count: those whose infrastructure failed do not."""
        return sum(not record.masked for record in self.records)


@dataclass(frozen=True)
class GroupLog:
    """A log of groups of rollouts, of which only the newest groups are kept.

    Attributes:
        first: line of the log, counted from 0, in which the first of `groups` stands.
        trajectories: rollouts in the whole log.
    """

    groups: Sequence[Mapping[str, Any]] = ()
    first: int = 0
    trajectories: int = 0


@dataclass(frozen=True)
class Run:
    """A run folder, read.

    Attributes:
        label: the method's title, and what else tells it from the other runs, after a comma.
        steps: the lines of `metrics.jsonl`.
        explorations, recoveries: `trajectories/exploration_groups.jsonl` and `fission_groups.jsonl`.
        alignment: what `alignment.jsonl` holds.
        start: the policy it started from, where that was evaluated.
        evaluation: the trained policy, likewise.
    """

    label: str
    path: Path
    recipe: Recipe
    versions: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    explorations: GroupLog
    recoveries: GroupLog
    alignment: Alignment
    start: Evaluation | None
    evaluation: Evaluation | None


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads run folders. Runs of one method are told apart by their seeds, or else by the names of their folders.

    Raises:
        UserError: a path is no run folder, or a line of its logs is broken.
    """
    runs = [_load_run(path) for path in paths]
    return [_relabelled(run, [other for other in runs if other.label == run.label]) for run in runs]


def method_of(label: str) -> str:
    """The method's title in a label.

    >>> method_of("GRPO, seed 1")
    'GRPO'
    """
    return label.partition(", ")[0]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; none where it does not exist. A last line that is still being written is left out.

    Raises:
        UserError: a line is broken.
    """
    return list(_records(path))


def read_groups(path: Path, rollouts: str, most: int = MOST_TRAJECTORIES) -> GroupLog:
    """The newest groups of a log, with at most `most` rollouts (the newest group is kept in any case).

    Args:
        rollouts: the field that holds a group's rollouts.

    Raises:
        UserError: a line is broken.
    """
    kept: deque[dict[str, Any]] = deque()
    first = total = size = 0
    for number, record in enumerate(_records(path), start=1):
        if not isinstance(record.get(rollouts), list):
            raise UserError(f"log {path}, line {number}: no group, it has no list `{rollouts}`")
        kept.append(record)
        total, size = total + len(record[rollouts]), size + len(record[rollouts])
        while size > most and len(kept) > 1:
            size -= len(kept.popleft()[rollouts])
            first += 1
    return GroupLog(kept, first, total)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # still being written, perhaps within a character
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"log {path}, line {number}: not readable as JSON ({error})") from error


def _load_run(path: Path) -> Run:
    recipe_file = path / "recipe.yaml"
    if not recipe_file.is_file():
        raise UserError(f"run {path}: no run folder, it has no recipe.yaml; `fission train RECIPE --run {path}` makes one")
    recipe = kept_recipe(read_settings(recipe_file), f"recipe {recipe_file}")
    label = METHODS[recipe.method].title
    versions = path / "versions.json"
    return Run(
        label=label,
        path=path,
        recipe=recipe,
        versions=json.loads(versions.read_text(encoding="utf-8")) if versions.is_file() else {},
        steps=read_jsonl(path / "metrics.jsonl"),
        explorations=read_groups(path / GROUP_LOGS["exploration"], "rollouts"),
        recoveries=read_groups(path / GROUP_LOGS["recovery"], "recoveries"),
        alignment=alignment_of(read_jsonl(path / ALIGNMENT_LOG)),
        start=_evaluation(START_TITLE, path / START_FILE),
        evaluation=_evaluation(label, path / EVALUATION_FILE),
    )


def _evaluation(label: str, path: Path) -> Evaluation | None:
    return Evaluation(label, load_records(path)) if path.is_file() else None


def _relabelled(run: Run, same: Sequence[Run]) -> Run:
    """The run with a label that tells it from those of the same method, itself among them."""
    if len(same) == 1:
        return run
    tells: tuple[Callable[[Run], str], ...] = (
        lambda each: f"seed {each.recipe.seed}",
        lambda each: each.path.resolve().name,
        lambda each: str(each.path),
    )
    tell = next((tell for tell in tells if len({tell(each) for each in same}) == len(same)), tells[-1])
    label = f"{run.label}, {tell(run)}"
    return replace(run, label=label, evaluation=run.evaluation and replace(run.evaluation, label=label))
