"""Does it learn? Fission-GRPO against GRPO from the bundled policy: same tasks, equal token budget, paired seeds.

    python benchmarks/learning.py prepare                         # tasks and probe set, with their hashes: before any RL
    python benchmarks/learning.py run --arms step-grpo step-fission --seeds 0 1 2 --budget 1000000 --jobs 2
    python benchmarks/learning.py table                           # benchmarks/results/learning.md

Every arm starts from the same policy and ends at its first update past the budget of tokens processed (prefilled, sampled,
trained). Every policy plays the held-out tasks and continues the probe set at T = 1. Finished runs are not repeated.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fission_grpo.rollout.cpu import configure_cpu

HERE = Path(__file__).parent
DATA = HERE / "learning"
RUNS = Path("runs/learning")
TRAIN_SEED, TEST_SEED = 101, 202
TRAIN_TASKS, TEST_TASKS, PROBE_CONTEXTS = 1500, 600, 500
ARMS: dict[str, list[str]] = {
    "step-grpo": ["method=grpo", "granularity=step"],
    "step-fission": ["method=fission", "granularity=step"],
    "episode-grpo": ["method=grpo", "granularity=episode"],
    "episode-fission": ["method=fission", "granularity=episode"],
    "episode-fission-sel-esc": [
        "method=fission",
        "granularity=episode",
        "fission.selection=true",
        "fission.escalation=true",
        "fission.simulators=[rules, fixed]",
    ],
    "episode-fission-message": ["method=fission", "granularity=episode", "fission.recovery_horizon=message"],
}
COMMON = [
    f"tasks.train={DATA / 'train.jsonl'}",
    "fission.signal_filter=outcome",
    "rollout.max_new_tokens=64",
    "rollout.max_context_tokens=768",
    "trainer.max_steps=10000",
    "trainer.save_strategy='no'",
]
PAIRS = [
    ("step-fission", "step-grpo"),
    ("episode-fission", "episode-grpo"),
    ("episode-fission-sel-esc", "episode-grpo"),
    ("episode-fission-message", "episode-grpo"),
]
TABLE_METRICS = (
    "solved",
    "hidden_hazards_solved",
    "hazard_free_solved",
    "recovery_rate_turn",
    "recovery_rate_task",
    "recovery_rate_call",
    "repeat_rate",
    "error_rate",
)


def prepare() -> None:
    """Writes train and test tasks, and the probe set: the start policy's failures and injected ones, on other scenarios."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.evaluation.probe_set import (
        contexts_of_careless_calls,
        contexts_of_failures,
        save_probe,
        select_contexts,
    )
    from fission_grpo.tasks.generate import SplitShares, generate_tasks
    from fission_grpo.tasks.mix import Mix
    from fission_grpo.tasks.task import save_tasks

    environment = BFCLEnvironment()
    train = generate_tasks(TRAIN_TASKS, TRAIN_SEED, environment, mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    test = generate_tasks(TEST_TASKS, TEST_SEED, environment, mix=Mix.COMPACT, shares=SplitShares(0.0, 0.0, 1.0))
    save_tasks(train, DATA / "train.jsonl")
    save_tasks(test, DATA / "test.jsonl")
    probing = generate_tasks(700, TEST_SEED + 1, environment, mix=Mix.COMPACT, shares=SplitShares(0.0, 0.0, 1.0))
    result = evaluate_policy("bundled", test, samples=4)
    print(json.dumps({name: str(ratio) for name, ratio in result.metrics.items()}, indent=1))
    playing = evaluate_policy("bundled", probing, samples=1, keep_trajectories=True)
    own = contexts_of_failures(playing.trajectories, probing)
    injected = contexts_of_careless_calls(probing, lambda _: BFCLEnvironment())
    half = PROBE_CONTEXTS // 2
    save_probe([*select_contexts(own, half), *select_contexts(injected, half)], DATA / "probe.jsonl")
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(DATA.glob("*.jsonl"))}
    manifest = {"seeds": {"train": TRAIN_SEED, "test": TEST_SEED}, "sha256": hashes}
    (DATA / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def evaluate_policy(model: str, tasks: Any, samples: int, seed: int = 0, keep_trajectories: bool = False) -> Any:
    """Plays tasks with a model; see `evaluation.evaluate`."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.evaluation.evaluate import evaluate
    from fission_grpo.rollout.episode import EpisodeLimits
    from fission_grpo.rollout.transformers_policy import load_policy

    policy, chat = load_policy(model)
    limits = EpisodeLimits(steps_per_turn=8, context_tokens=768)
    return evaluate(
        policy,
        chat,
        tasks,
        lambda _: BFCLEnvironment(),
        samples=samples,
        seed=seed,
        limits=limits,
        max_new_tokens=64,
        keep_trajectories=keep_trajectories,
    )


def one(arm: str, seed: int, budget: int) -> None:
    """Trains and evaluates one arm with one seed; what is finished already is kept."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.evaluation.probe import continue_probe
    from fission_grpo.evaluation.probe_set import load_probe
    from fission_grpo.evaluation.records import save_records
    from fission_grpo.recipe import load_recipe
    from fission_grpo.rollout.episode import EpisodeLimits
    from fission_grpo.rollout.transformers_policy import load_policy
    from fission_grpo.tasks.task import load_tasks

    run = RUNS / f"{arm}-{seed}"
    if arm != "start" and not (run / "model" / "config.json").exists():
        from fission_grpo.training.runs import train

        recipe = load_recipe("recipes/bfcl_quick.yaml", [*ARMS[arm], *COMMON, f"seed={seed}"])
        train(recipe, run, token_budget=budget)
    model = "bundled" if arm == "start" else str(run / "model")
    played = evaluate_policy(model, load_tasks(DATA / "test.jsonl"), samples=4, seed=seed)
    policy, chat = load_policy(model)
    limits = EpisodeLimits(steps_per_turn=8, context_tokens=768)
    probed = continue_probe(
        policy,
        chat,
        load_probe(DATA / "probe.jsonl"),
        lambda _: BFCLEnvironment(),
        seed=seed,
        limits=limits,
        max_new_tokens=64,
    )
    run.mkdir(parents=True, exist_ok=True)
    for name, result in (("test", played), ("probe", probed)):
        save_records(result.records, run / f"{name}.records.jsonl")
    print(arm, seed, {name: str(ratio) for name, ratio in (played.metrics | probed.metrics).items()}, flush=True)


def run_all(arms: list[str], seeds: list[int], budget: int, jobs: int) -> None:
    """Runs what is not finished yet, `jobs` at a time, one thread each; the arms of a seed run side by side."""
    waiting = [
        (arm, seed) for seed in seeds for arm in arms if not (RUNS / f"{arm}-{seed}" / "probe.records.jsonl").exists()
    ]
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            arm, seed = waiting.pop(0)
            command = [sys.executable, __file__, "one", "--arm", arm, "--seed", str(seed), "--budget", str(budget)]
            running.append(subprocess.Popen(command))
        running[0].wait(timeout=None) if len(running) == 1 else _wait_any(running)
        running = [process for process in running if process.poll() is None]


def _wait_any(running: list[subprocess.Popen[bytes]]) -> None:
    while all(process.poll() is None for process in running):
        try:
            running[0].wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue


def table(runs: Path, out: Path) -> None:
    """Writes the table of all finished runs in a folder, with paired differences."""
    from fission_grpo.evaluation.records import EpisodeRecord, load_records
    from fission_grpo.evaluation.statistics import paired_difference, summary
    from fission_grpo.training.run_folder import RunFolder

    records: dict[str, dict[int, dict[str, list[EpisodeRecord]]]] = {}
    for path in sorted(runs.glob("*/probe.records.jsonl")):
        arm, _, seed = path.parent.name.rpartition("-")
        kinds = {kind: list(load_records(path.parent / f"{kind}.records.jsonl")) for kind in ("test", "probe")}
        records.setdefault(arm, {})[int(seed)] = kinds
    columns = [("test", metric) for metric in TABLE_METRICS] + [("probe", "probe_recovery"), ("probe", "probe_repeat")]
    lines = ["| arm | seeds | updates | tokens (M) | " + " | ".join(metric for _, metric in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 4))
    for arm in ["start", *ARMS]:
        if arm not in records:
            continue
        seeds = sorted(records[arm])
        folders = [RunFolder(runs / f"{arm}-{seed}") for seed in seeds]
        updates = ", ".join(str(len(folder.metrics())) for folder in folders)
        tokens = ", ".join(f"{folder.tokens() / 1e6:.2f}" for folder in folders)
        cells = []
        for kind, metric in columns:
            (row,) = summary([records[arm][seed][kind] for seed in seeds], [metric])
            cells.append(f"{row.ratio} {row.interval}")
        lines.append(f"| {arm} | {', '.join(map(str, seeds))} | {updates} | {tokens} | " + " | ".join(cells) + " |")
    lines += ["", "Paired differences (first minus second; 95% bootstrap over scenarios and seeds):", ""]
    lines += ["| first | second | metric | difference | interval | by seed |", "|---|---|---|---|---|---|"]
    for first, second in PAIRS:
        shared = sorted(set(records.get(first, {})) & set(records.get(second, {})))
        for kind, metric in columns if shared else []:
            pair = [[records[arm][seed][kind] for seed in shared] for arm in (first, second)]
            found = paired_difference(pair[0], pair[1], metric)
            by_seed = ", ".join(f"{value:+.3f}" for value in found.by_seed)
            lines.append(f"| {first} | {second} | {metric} | {found.difference:+.3f} | {found.interval} | {by_seed} |")
    out.parent.mkdir(exist_ok=True)
    out.write_text(_heading() + "\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _heading() -> str:
    return (
        "# Learning: Fission-GRPO against GRPO\n\n"
        "`python benchmarks/learning.py prepare`, `run`, `table`. Ratios are `value (numerator/denominator)` over "
        f"{TEST_TASKS} held-out tasks x 4 samples (and {PROBE_CONTEXTS} probe contexts x 4) a seed, at T = 1.\n"
        "Definitions: docs/method.md, section 7. Hashes of tasks and probe set: benchmarks/learning/manifest.json.\n\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="tasks and probe set")
    shown = commands.add_parser("table", help="the table of finished runs")
    shown.add_argument("--runs", type=Path, default=RUNS, help="folder of run folders")
    shown.add_argument("--out", type=Path, default=HERE / "results" / "learning.md")
    many = commands.add_parser("run", help="train and evaluate")
    many.add_argument("--arms", nargs="+", choices=["start", *ARMS], default=["start", *ARMS])
    many.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    many.add_argument("--jobs", type=int, default=2)
    single = commands.add_parser("one", help="one arm, one seed")
    single.add_argument("--arm", choices=["start", *ARMS], required=True)
    single.add_argument("--seed", type=int, required=True)
    for each in (many, single):
        each.add_argument("--budget", type=int, default=1_000_000, help="tokens processed by a run")
    options = parser.parse_args()
    configure_cpu(1)
    if options.command == "prepare":
        prepare()
    elif options.command == "table":
        table(options.runs, options.out)
    elif options.command == "run":
        run_all(options.arms, options.seeds, options.budget, options.jobs)
    else:
        one(options.arm, options.seed, options.budget)


if __name__ == "__main__":
    main()
