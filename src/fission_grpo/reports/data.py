"""What a report is made of: runs, evaluations and recovery groups, read from run folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord, load_records, pool_failures, pool_metrics
from fission_grpo.recipe import Recipe, load_recipe
from fission_grpo.recipe.methods import METHODS
from fission_grpo.reports.alignment import Alignment, alignment_of
from fission_grpo.training.run_folder import ALIGNMENT_LOG

EVALUATION_FILE = "evaluation.jsonl"
"""In a run folder: the episodes of the trained policy on held-out tasks."""
START_FILE = "evaluation_start.jsonl"
"""In a run folder: the same for the policy that the run started from."""
START_TITLE = "Start"


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
class Run:
    """A run folder, read.

    Attributes:
        steps: the lines of `metrics.jsonl`.
        groups: the lines of `trajectories/fission_groups.jsonl`.
        alignment: what `alignment.jsonl` holds.
        start: the policy it started from, where that was evaluated.
        evaluation: the trained policy, likewise.
    """

    label: str
    path: Path
    recipe: Recipe
    versions: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]]
    alignment: Alignment
    start: Evaluation | None
    evaluation: Evaluation | None


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads run folders; labels that would be equal get the folder's name added.

    Raises:
        UserError: a path is no run folder, or a line of its logs is broken.
    """
    runs = [_load_run(path) for path in paths]
    titles = [run.label for run in runs]
    return [run if titles.count(run.label) == 1 else _relabelled(run) for run in runs]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; none where it does not exist. A last line that is still being written is left out.

    Raises:
        UserError: a line is broken.
    """
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").split("\n")[:-1]
    records: list[dict[str, Any]] = []
    for number, line in enumerate(whole, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"log {path}, line {number}: not readable as JSON ({error})") from error
    return records


def _load_run(path: Path) -> Run:
    recipe_file = path / "recipe.yaml"
    if not recipe_file.is_file():
        raise UserError(f"run {path}: no run folder, it has no recipe.yaml; `fission train RECIPE --run {path}` makes one")
    recipe = load_recipe(recipe_file)
    label = METHODS[recipe.method].title
    versions = path / "versions.json"
    return Run(
        label=label,
        path=path,
        recipe=recipe,
        versions=json.loads(versions.read_text(encoding="utf-8")) if versions.is_file() else {},
        steps=read_jsonl(path / "metrics.jsonl"),
        groups=read_jsonl(path / "trajectories" / "fission_groups.jsonl"),
        alignment=alignment_of(read_jsonl(path / ALIGNMENT_LOG)),
        start=_evaluation(START_TITLE, path / START_FILE),
        evaluation=_evaluation(label, path / EVALUATION_FILE),
    )


def _evaluation(label: str, path: Path) -> Evaluation | None:
    return Evaluation(label, load_records(path)) if path.is_file() else None


def _relabelled(run: Run) -> Run:
    label = f"{run.label} ({run.path.resolve().name})"
    return replace(run, label=label, evaluation=run.evaluation and replace(run.evaluation, label=label))
