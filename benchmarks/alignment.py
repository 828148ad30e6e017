"""Does an error simulator still fit the policy as it trains, and what does it cost? From the logs of runs.

    python benchmarks/alignment.py full=runs/full tenth=runs/tenth refreshed=runs/refreshed     # label=run folder

writes `benchmarks/results/alignment.md`: one line a measurement and refresh (`alignment.jsonl`), and the simulator's share
of the time of all updates (`metrics.jsonl`).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fission_grpo.recipe import load_recipe
from fission_grpo.training.run_folder import ALIGNMENT_LOG, RunFolder

RESULT = Path(__file__).parent / "results" / "alignment.md"


def share(pair: list[int]) -> str:
    """A numerator and its denominator as text."""
    return f"{pair[0] / pair[1]:.3f} ({pair[0]}/{pair[1]})" if pair[1] else "-"


def lines_of(label: str, run: Path) -> Iterator[str]:
    """The rows of one run."""
    for record in map(json.loads, (run / ALIGNMENT_LOG).read_text(encoding="utf-8").splitlines()):
        yield measurement(label, record) if record["event"] == "measurement" else refresh(label, record)


def measurement(label: str, record: dict[str, Any]) -> str:
    """One measurement."""
    shares = " | ".join(share(record[name]) for name in ("sound", "usable", "leak", "agreement", "fallback"))
    return f"| {label} | {record['step']} | {record['version']} | {shares} |"


def refresh(label: str, record: dict[str, Any]) -> str:
    """One refresh."""
    measured = (
        f"sound on held-out failures: old {share(record['old'])}, new {share(record['new'])}; " if "new" in record else ""
    )
    used = "used" if record["used"] else f"not used: {record['reason']}"
    return (
        f"| {label} | {record['step']} | | refreshed on {record['examples']['train']} examples; {measured}{used} | | | | |"
    )


def cost(label: str, run: Path) -> str:
    """Which simulator, and its share of the time."""
    updates = RunFolder(run).metrics()
    seconds, total = (sum(update[name] for update in updates) for name in ("simulator_seconds", "seconds"))
    local = load_recipe(run / "recipe.yaml").simulator.local
    times = f"{len(updates)} | {seconds:.1f} | {total:.1f} | {100 * seconds / total:.1f}"
    return f"| {label} | {local.model if local else '-'} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="label=run folder")
    runs = {label: Path(run) for label, _, run in (each.partition("=") for each in parser.parse_args().runs)}
    text = [
        "# Alignment of error simulators, and what they cost\n",
        f"`python benchmarks/alignment.py {' '.join(f'{label}={run}' for label, run in runs.items())}`\n",
        "Every measurement is of the simulator's own words, before the guard, on the policy's newest failures.\n",
        "| run | update | version | sound | usable | leak | agreement | fallback |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *(line for label, run in runs.items() for line in lines_of(label, run)),
        "\nTime of all updates, one thread a run, other runs beside it on the same two cores:\n",
        "| run | simulator | updates | simulator, s | all, s | share, % |",
        "|---|---|--:|--:|--:|--:|",
        *(cost(label, run) for label, run in runs.items()),
    ]
    RESULT.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
