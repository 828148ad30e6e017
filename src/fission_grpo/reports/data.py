"""What a report is made of: runs, evaluations and recovery groups, read from run folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe, load_recipe

EVALUATION_FILE = "evaluation.json"
METHOD_TITLES = {"fission": "Fission-GRPO", "grpo": "GRPO"}


@dataclass(frozen=True)
class Ratio:
    """A rate that keeps its counts.

    >>> str(Ratio(367, 600)), str(Ratio(0, 0))
    ('0.612 (367/600)', '- (0/0)')
    """

    numerator: int
    denominator: int

    @property
    def value(self) -> float | None:
        return self.numerator / self.denominator if self.denominator else None

    def __str__(self) -> str:
        shown = "-" if self.value is None else f"{self.value:.3f}"
        return f"{shown} ({self.numerator}/{self.denominator})"


@dataclass(frozen=True)
class Evaluation:
    """One policy on one set of tasks.

    Attributes:
        label: row of the table.
        metrics: by the keys of `definitions.METRICS`.
        failures: number of failed messages by failure kind.
        episodes: episodes played; failures are compared per episode.
        settings: tasks, samples, temperature and seed, as key and value.
    """

    label: str
    metrics: Mapping[str, Ratio]
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    episodes: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Run:
    """A run folder, read.

    Attributes:
        steps: the lines of `metrics.jsonl`.
        groups: the lines of `trajectories/fission_groups.jsonl`.
    """

    label: str
    path: Path
    recipe: Recipe
    versions: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]]
    evaluation: Evaluation | None

    @property
    def training_seconds(self) -> float:
        return sum(float(step.get("seconds") or 0.0) for step in self.steps)


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads run folders; labels that would be equal get the folder's name added.

    Raises:
        UserError: a path is no run folder, or a line of its logs is broken.
    """
    runs = [_load_run(path) for path in paths]
    titles = [run.label for run in runs]
    return [
        run if titles.count(run.label) == 1 else replace(run, label=f"{run.label} ({run.path.resolve().name})")
        for run in runs
    ]


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Writes an evaluation as JSON, ratios as `[numerator, denominator]`."""
    record = {
        "label": evaluation.label,
        "metrics": {name: [ratio.numerator, ratio.denominator] for name, ratio in evaluation.metrics.items()},
        "failures": dict(evaluation.failures),
        "episodes": evaluation.episodes,
        "settings": dict(evaluation.settings),
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load_evaluation(path: Path) -> Evaluation:
    """Reads what `save_evaluation` wrote.

    Raises:
        UserError: the file is broken.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        ratios = {name: Ratio(*counts) for name, counts in record.pop("metrics").items()}
        return Evaluation(metrics=ratios, **record)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"evaluation {path}: not readable ({error}); delete it and evaluate again") from error


def _load_run(path: Path) -> Run:
    recipe_file = path / "recipe.yaml"
    if not recipe_file.is_file():
        raise UserError(f"run {path}: no run folder, it has no recipe.yaml; `fission train RECIPE --run {path}` makes one")
    recipe = load_recipe(recipe_file)
    evaluation = path / EVALUATION_FILE
    versions = path / "versions.json"
    return Run(
        label=METHOD_TITLES[recipe.method],
        path=path,
        recipe=recipe,
        versions=json.loads(versions.read_text(encoding="utf-8")) if versions.is_file() else {},
        steps=read_jsonl(path / "metrics.jsonl"),
        groups=read_jsonl(path / "trajectories" / "fission_groups.jsonl"),
        evaluation=load_evaluation(evaluation) if evaluation.is_file() else None,
    )


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
