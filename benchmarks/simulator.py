"""The simulator on the bundled policy: how much data it needs, what a corrupted one is worth, and what it gives away.

    fission simulator collect recipes/bfcl_quick.yaml --out simulator-data
    python benchmarks/simulator_reader.py --data simulator-data --out readers/bundled
    python benchmarks/simulator.py --data simulator-data --reader readers/bundled --count 2000

trains `recipes/simulator_bundled.yaml` on 10, 25, 50 and 100% of the scenarios (folders that exist are taken as they are),
evaluates all of them, and the best behind corruption at 25, 50 and 100%, on the same fresh failures of the start policy on
held-out tasks, and writes `benchmarks/results/simulator.md`.
"""

import argparse
from pathlib import Path

from rich.console import Console

from fission_grpo.rollout.cpu import configure_cpu

ROOT = Path(__file__).parents[1]
FRACTIONS = (0.1, 0.25, 0.5, 1.0)
CORRUPTION = (0.25, 0.5, 1.0)
RESULT = ROOT / "benchmarks" / "results" / "simulator.md"


def train(data: Path, out: Path, fraction: float, console: Console) -> Path:
    """The model's folder; trained only where it is not there yet."""
    from fission_grpo.recipe import load_simulator_recipe
    from fission_grpo.training.simulator.sft import train_simulator

    folder = out / f"bundled-{fraction:g}"
    if (folder / "model" / "simulator.json").is_file():
        return folder / "model"
    settings = [f"data={data}", f"fraction={fraction:g}"]
    recipe = load_simulator_recipe(ROOT / "recipes" / "simulator_bundled.yaml", settings)
    return train_simulator(recipe, folder, sink=lambda text, done, of: console.print(f"{fraction:g}: {text} {done}/{of}"))


def evaluate(models: dict[str, Path], reader: str | None, count: int, samples: int, seed: int, console: Console) -> str:
    """The tables as markdown."""
    from fission_grpo.recipe import load_recipe
    from fission_grpo.reports.simulator import markdown
    from fission_grpo.simulators.corrupted import corrupted
    from fission_grpo.simulators.local import LocalSimulator
    from fission_grpo.training.simulator.evaluate import evaluate_simulators, load_labels

    def progress(text: str, done: int, of: int) -> None:
        console.print(f"{text} {done}/{of}")

    recipe = load_recipe(ROOT / "recipes" / "bfcl_quick.yaml", ["tasks.test.generate.count=2000"])
    best = LocalSimulator(str(models["100%"]))
    simulators = [(name, LocalSimulator(str(folder))) for name, folder in models.items() if name != "100%"]
    worse = [(f"corrupted {rate:.0%}", corrupted(best, rate)) for rate in CORRUPTION]
    evaluation = evaluate_simulators(
        recipe,
        [*simulators, ("100%", best), *worse],
        count=count,
        samples=samples,
        seed=seed,
        reader=reader,
        labelled=load_labels(ROOT / "benchmarks" / "simulator" / "labelled.jsonl"),
        progress=progress,
    )
    return markdown(evaluation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("simulator-data"), help="folder of `fission simulator collect`")
    parser.add_argument("--out", type=Path, default=Path("simulators"), help="folder for the simulators")
    parser.add_argument("--reader", help="folder of `benchmarks/simulator_reader.py`; default: the policy itself")
    parser.add_argument("--count", type=int, default=2000, help="failures")
    parser.add_argument("--samples", type=int, default=2, help="recoveries, and answers of the reader, of every failure")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    configure_cpu()
    console = Console()
    models = {f"{each:.0%}": train(options.data, options.out, each, console) for each in FRACTIONS}
    tables = evaluate(models, options.reader, options.count, options.samples, options.seed, console)
    command = f"python benchmarks/simulator.py --count {options.count} --samples {options.samples} --seed {options.seed}"
    title, _, rest = tables.partition("\n")
    RESULT.write_text(f"{title}\n\n`{command}`; its `--help` says what comes before.\n{rest}", encoding="utf-8")
    console.print(tables, markup=False)


if __name__ == "__main__":
    main()
