"""What fission itself costs: interception, pool, feedback of the rules and context building, as a share of the step time.

    python benchmarks/overhead.py runs/learning/step-fission-*       # prints and writes benchmarks/results/overhead.md

Both are in `metrics.jsonl` of every run (`overhead_seconds`, `seconds`), so any run can be looked at. Interception includes
the execution of failed messages in a fork of the live state.
"""

import argparse
from pathlib import Path
from statistics import median

from fission_grpo.training.run_folder import RunFolder


def row(run: Path) -> str:
    """One line of the table: sums over the run, and the spread over its updates."""
    records = RunFolder(run).metrics()
    shares = sorted(record["overhead_seconds"] / record["seconds"] for record in records)
    overhead, total = (sum(record[name] for record in records) for name in ("overhead_seconds", "seconds"))
    spread = f"{100 * median(shares):.2f} ({100 * shares[0]:.2f} to {100 * shares[-1]:.2f})"
    return f"| {run.name} | {len(records)} | {overhead:.2f} | {total:.1f} | {100 * overhead / total:.2f} | {spread} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    options = parser.parse_args()
    lines = [
        "| run | updates | overhead, s | step time, s | share, % | per update: median (lowest to highest), % |",
        "|---|---|---|---|---|---|",
        *(row(run) for run in options.runs if RunFolder(run).metrics()),
    ]
    out = Path(__file__).parent / "results" / "overhead.md"
    heading = "# Overhead of fission\n\n`python benchmarks/overhead.py RUN...`, one thread a run, two runs side by side.\n\n"
    out.write_text(heading + "\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
