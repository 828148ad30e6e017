"""The folder of a comparison, and what is found in it.

plan.yaml             what the runs share, the arms with their recipes and baselines, the number of seeds, the command
tasks/                train.jsonl, test.jsonl, probe.jsonl, also-NAME.jsonl, and manifest.json with their hashes;
                      doing_nothing.json where other benchmarks can be solved by it
start-SEED/           evaluation.jsonl, also-NAME.jsonl and probe.jsonl of the policy that all start from
ARM-SEED/             the run folder of an arm with a seed; the same files of its policy
*.log                 whatever a worker printed
comparison.{md,json,html}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, cast

import yaml

from fission_grpo.errors import UserError
from fission_grpo.evaluation.metrics import Ratio
from fission_grpo.evaluation.records import EpisodeRecord, load_records
from fission_grpo.recipe import Recipe
from fission_grpo.recipe.comparison import START
from fission_grpo.recipe.loading import kept_recipe
from fission_grpo.reports.data import EVALUATION_FILE, read_jsonl


def other_file(name: str) -> str:
    """In a run folder: the policy's episodes of another benchmark; in `tasks/`: its tasks."""
    return f"also-{name}.jsonl"


PROBE_FILE = "probe.jsonl"
"""In a run folder: the trained policy's continuations of the probe set."""
NOTHING_FILE = "doing_nothing.json"
"""In `tasks/`: by benchmark and task, whether an agent that does nothing solves it."""
PLAN_FILE = "plan.yaml"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SeedRun:
    """One policy, evaluated: an arm trained with one seed.

    Attributes:
        steps: the lines of `metrics.jsonl`; none of the start policy.
        evaluation, probe: its episodes on the test tasks, and its continuations of the probe set.
        also: its episodes on other benchmarks, by their names.
    """

    path: Path
    seed: int
    steps: Sequence[Mapping[str, Any]]
    evaluation: Sequence[EpisodeRecord]
    probe: Sequence[EpisodeRecord]
    also: Mapping[str, Sequence[EpisodeRecord]] = field(default_factory=dict[str, Sequence[EpisodeRecord]])

    @cached_property
    def tokens(self) -> dict[str, float]:
        """Tokens processed, by what they were processed for (docs/method.md, section 8.2)."""
        spent: dict[str, float] = {"prefill": 0.0, "sampled": 0.0, "trained": 0.0, "simulator": 0.0}
        for step in self.steps:
            for name, count in (step.get("tokens") or {}).items():
                kind = name.rpartition("_")[2]
                spent[kind] = spent.get(kind, 0.0) + float(count)
        return spent

    @property
    def episodes(self) -> list[EpisodeRecord]:
        """All that was played with the policy."""
        return [*self.evaluation, *self.probe, *chain.from_iterable(self.also.values())]

    @property
    def seconds(self) -> float:
        """Wall-clock time of the updates."""
        return sum(float(step.get("seconds") or 0.0) for step in self.steps)


@dataclass(frozen=True)
class ArmRuns:
    """An arm and its finished runs, by seed.

    Attributes:
        recipe: of its runs, seed aside; None of the start policy.
        baseline: the arm that its differences are taken from.
        added: nobody named it; it is GRPO at a granularity that had no baseline.
    """

    name: str
    recipe: Recipe | None
    baseline: str | None
    added: bool
    runs: Mapping[int, SeedRun]


@dataclass(frozen=True)
class ComparedRuns:
    """A comparison as far as it is finished.

    Attributes:
        shared: what all runs have in common: budget, evaluation, probe, model, environment, tasks, rollout.
        seeds: how many were asked for; an arm may have fewer so far.
        hashes: sha256 of the task and probe files.
        sizes: number of entries of each of them.
        doing_nothing: what an agent that calls nothing solves of the other benchmarks that have such tasks, by their names.
    """

    path: Path
    shared: Mapping[str, Any]
    seeds: int
    command: str
    start: ArmRuns
    arms: Sequence[ArmRuns]
    hashes: Mapping[str, str]
    sizes: Mapping[str, int]
    versions: Mapping[str, str]
    doing_nothing: Mapping[str, Ratio] = field(default_factory=dict[str, Ratio])

    @property
    def budget(self) -> int:
        return int(self.shared["budget"])


def load_comparison(out: Path) -> ComparedRuns:
    """Reads the folder of a comparison; runs that are not evaluated yet are left out.

    Raises:
        UserError: it is none, or a file in it is broken.
    """
    plan = load_plan_file(out)
    if plan is None:
        raise UserError(f"comparison {out}: no {PLAN_FILE} in it; `fission compare RECIPE --out {out}` makes one")
    others = list(plan["shared"]["evaluation"].get("also", {}))
    arms = [
        ArmRuns(
            name=name,
            recipe=kept_recipe(arm["recipe"], f"{out / PLAN_FILE}, arm `{name}`"),
            baseline=arm.get("baseline"),
            added=arm.get("added", False),
            runs=_runs(out, name, plan["seeds"], others),
        )
        for name, arm in plan["arms"].items()
    ]
    manifest = out / "tasks" / MANIFEST
    frozen = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {"sha256": {}, "entries": {}}
    versions = next((run.path / "versions.json" for arm in arms for run in arm.runs.values()), None)
    return ComparedRuns(
        path=out,
        shared=plan["shared"],
        seeds=plan["seeds"],
        command=plan["command"],
        start=ArmRuns(START, None, None, False, _runs(out, START, plan["seeds"], others)),
        arms=arms,
        hashes=frozen["sha256"],
        sizes=frozen["entries"],
        versions=json.loads(versions.read_text(encoding="utf-8")) if versions is not None else {},
        doing_nothing=_doing_nothing(out / "tasks" / NOTHING_FILE),
    )


def load_plan_file(out: Path) -> dict[str, Any] | None:
    """What `plan.yaml` holds, or None where there is none.

    Raises:
        UserError: no comparison wrote it.
    """
    path = out / PLAN_FILE
    if not path.is_file():
        return None
    try:
        plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        plan = None
    if not isinstance(plan, dict) or not {"command", "seeds", "shared", "arms"} <= plan.keys():
        raise UserError(f"{path}: not written by `fission compare`, or altered since; name another folder")
    return cast(dict[str, Any], plan)


def run_path(out: Path, arm: str, seed: int) -> Path:
    """The run folder of an arm with a seed."""
    return out / f"{arm}-{seed}"


def _doing_nothing(path: Path) -> dict[str, Ratio]:
    solved: dict[str, dict[str, bool]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: Ratio(sum(tasks.values()), len(tasks)) for name, tasks in solved.items()}


def _runs(out: Path, arm: str, seeds: int, others: Sequence[str]) -> dict[int, SeedRun]:
    paths = {seed: run_path(out, arm, seed) for seed in range(seeds)}
    return {
        seed: SeedRun(
            path=path,
            seed=seed,
            steps=read_jsonl(path / "metrics.jsonl"),
            evaluation=load_records(path / EVALUATION_FILE),
            probe=load_records(path / PROBE_FILE),
            also={name: load_records(path / other_file(name)) for name in others},
        )
        for seed, path in paths.items()
        if all((path / file).is_file() for file in (EVALUATION_FILE, PROBE_FILE, *map(other_file, others)))
    }
