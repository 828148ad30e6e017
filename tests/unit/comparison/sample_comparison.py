"""The folder of a finished comparison, small and made up."""

import json
import random
from dataclasses import replace
from pathlib import Path

from fission_grpo.comparison.folder import run_recipe, write_plan
from fission_grpo.comparison.plan import Plan, load_plan
from fission_grpo.evaluation.records import EpisodeRecord, save_records
from fission_grpo.recipe import OtherBenchmark
from fission_grpo.reports.comparison_folder import NOTHING_FILE, PROBE_FILE, other_file, run_path
from fission_grpo.reports.data import EVALUATION_FILE
from fission_grpo.training.run_folder import RunFolder

RECIPE = Path(__file__).parents[3] / "recipes" / "compare_small.yaml"
RATES = {"start": 0.3, "grpo": 0.5, "fission": 0.8}


OTHER = {"tau2": {"domain": "retail", "split": "base"}}


def write_comparison_folder(out: Path, seeds: int = 3, scenarios: int = 80, others: tuple[str, ...] = ()) -> Plan:
    """Writes it, and returns its plan; the arms solve and recover at `RATES`, in the other benchmarks too."""
    plan = load_plan([RECIPE], fast=True)
    also = {name: OtherBenchmark.model_validate({"tasks": OTHER}) for name in others}
    plan = replace(plan, evaluation=plan.evaluation.model_copy(update={"also": also}))
    out.mkdir(exist_ok=True)
    write_plan(out, plan, seeds, "fission compare recipes/compare_small.yaml --seeds 3 --fast")
    for seed in range(seeds):
        for arm in plan.arms:
            folder = RunFolder.create(run_path(out, arm.name, seed), run_recipe(arm.recipe, out, seed))
            write_steps(folder, seed, arm.name == "fission")
        for name, rate in RATES.items():
            rng = random.Random(f"{name}{seed}")
            run = run_path(out, name, seed)
            records = [_episode(rng, index, rate) for index in range(scenarios)]
            save_records(records, run / EVALUATION_FILE)
            for other in others:
                save_records([_episode(rng, index, rate / 2) for index in range(20)], run / other_file(other))
            save_records([_continuation(rng, index, rate) for index in range(scenarios)], run / PROBE_FILE)
    if others:
        (out / "tasks").mkdir(exist_ok=True)
        solved = {f"task-{index}": index < 2 for index in range(20)}
        (out / "tasks" / NOTHING_FILE).write_text(json.dumps({others[0]: solved}))
    return plan


def write_steps(folder: RunFolder, seed: int, fission: bool, updates: int = 12) -> None:
    """Updates of 5,000 tokens each: more than the budget of a fast comparison."""
    rng = random.Random(f"{folder.path.name}{seed}")
    for step in range(1, updates + 1):
        line = {
            "step": step,
            "reward": 1 + step / 20 + rng.gauss(0, 0.02),
            "outcome_rate": 0.4 + step / 40 + rng.gauss(0, 0.02),
            "error_rate": 0.3,
            "recovery_rate": 0.1 + step / 40 if fission and step > 1 else None,
            "tokens": {"exploration_prefill": 3000.0, "exploration_sampled": 800.0, "trained": 1200.0, "simulator": 0.0},
            "seconds": 1.5,
        }
        folder.append("metrics.jsonl", line)


def _episode(rng: random.Random, index: int, rate: float) -> EpisodeRecord:
    right, erred = int(rng.random() < rate), index % 2
    counts = {
        "solved": (right, 1),
        "hidden_hazards_solved": (0, 0),
        "hazard_free_solved": (right, 1),
        "recovery_rate_turn": (right * erred, erred),
        "recovery_rate_task": (right * erred, erred),
        "recovery_rate_call": (right * erred, erred),
        "repeat_rate": (0, erred),
        "error_rate": (erred, 3),
    }
    return EpisodeRecord(f"task-{index}", f"scenario-{index}", 0, "completed", counts)


def _continuation(rng: random.Random, index: int, rate: float) -> EpisodeRecord:
    counts = {"probe_recovery": (int(rng.random() < rate), 1), "probe_repeat": (0, 1)}
    return EpisodeRecord(f"task-{index}", f"scenario-{index}", 0, "completed", counts)


def drop_run(run: Path) -> None:
    """Makes a run one that is not evaluated yet."""
    (run / PROBE_FILE).unlink()


def read_json(out: Path) -> dict[str, object]:
    return json.loads((out / "comparison.json").read_text(encoding="utf-8"))
