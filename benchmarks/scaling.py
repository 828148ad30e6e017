"""How time grows: an update with prompt length and G, episodes with their number, the pool with its size.

    python benchmarks/scaling.py --out benchmarks/results/scaling.md --picture docs/scaling.png

The bundled policy throughout. An update is the forward and backward pass of the loss, ours beside TRL's GRPOTrainer
without its waste in the LM head (`speed.py`), one group of random tokens. Episodes are generated BFCL tasks, all in one call
of `play_episodes`. Pool operations are those of `fission/pool.py`; each should cost the same at every size.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fission_grpo.fission import CorrectivePool
from fission_grpo.rollout.cpu import configure_cpu
from fission_grpo.types import Failure, FailureKind

PROMPTS = (128, 256, 512, 1024, 1920)
GROUPS = (2, 4, 8, 16, 32)
EPISODES = (1, 4, 16, 64, 256)
POOLS = (1_000, 10_000, 100_000, 1_000_000)
PROMPT, GROUP, COMPLETION = 512, 8, 32
"""Where the other quantity grows."""
POOL_OPERATIONS = 100


@dataclass(frozen=True)
class Line:
    """One quantity and what was measured by it.

    Attributes:
        x: name of the quantity.
        columns: of every measurement, in the unit of its name, one value at every `xs`.
    """

    title: str
    x: str
    xs: Sequence[int]
    columns: Mapping[str, list[float]]

    def table(self) -> str:
        rows = [[f"{x:,}", *(_number(values[index]) for values in self.columns.values())] for index, x in enumerate(self.xs)]
        head = [self.x, *self.columns]
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def updates(title: str, x: str, xs: Sequence[int], repetitions: int, prompt: int | None, group: int | None) -> Line:
    """Updates of one group; of prompt length and G, the one that is None grows."""
    from trainer_speed.sizes import BUNDLED, Size
    from trainer_speed.update import measure_update
    from trainer_speed.variants import OURS, TRIMMED, TRL

    columns: dict[str, list[float]] = {name: [] for name in ("TRL, ms", "ours, ms", "times as fast", "bound")}
    for value in xs:
        say(f"{title}: {value}")
        length, rows = prompt or value, group or value
        size = Size(BUNDLED, 1, length, (COMPLETION, COMPLETION), rows, padded_rows=rows, packed_groups=1)
        found = measure_update(size, repetitions, side=512, progress=_quiet, memory=False).variants
        theirs, ours = found.get(TRIMMED, found[TRL]), found[OURS]
        fast = median(theirs.seconds) / median(ours.seconds)
        measured = (1000 * median(theirs.seconds), 1000 * median(ours.seconds), fast, theirs.operations / ours.operations)
        for column, each in zip(columns.values(), measured, strict=True):
            column.append(each)
    return Line(title, x, xs, columns)


def episodes(counts: Sequence[int], repetitions: int) -> Line:
    """Whole episodes in lock-step."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.rollout.driver import play_episodes
    from fission_grpo.rollout.episode import EpisodeLimits
    from fission_grpo.rollout.policy import Sampling
    from fission_grpo.rollout.transformers_policy import load_policy
    from fission_grpo.tasks.generate import generate_tasks
    from fission_grpo.tasks.mix import Mix

    policy, chat = load_policy("bundled", "cpu")
    tasks = generate_tasks(max(counts), 0, BFCLEnvironment(), mix=Mix.COMPACT)
    limits = EpisodeLimits(context_tokens=2048)
    columns: dict[str, list[float]] = {"seconds": [], "ms a message": []}
    for count in counts:
        say(f"episodes: {count}")
        seconds: list[float] = []
        messages: list[int] = []
        for seed in range(repetitions):
            sampling = Sampling(max_new_tokens=96, seed=seed)
            started = time.perf_counter()
            played = play_episodes(tasks[:count], lambda _: BFCLEnvironment(), policy, chat, limits, sampling)
            seconds.append(time.perf_counter() - started)
            messages.append(sum(len(trajectory.steps) for trajectory in played))
        columns["seconds"].append(median(seconds))
        columns["ms a message"].append(median(1000 * each / of for each, of in zip(seconds, messages, strict=True)))
    return Line("Episodes in one call", "episodes", counts, columns)


def pools(sizes: Sequence[int]) -> Line:
    """Every operation of a full pool, in microseconds."""
    columns: dict[str, list[float]] = {}
    for size in sizes:
        say(f"pool: {size}")
        for name, microseconds in _pool_operations(size).items():
            columns.setdefault(f"{name}, us", []).append(microseconds)
    return Line("The pool, full", "contexts", sizes, columns)


def _pool_operations(size: int, rounds: int = 5) -> dict[str, float]:
    """Microseconds an operation: medians of some rounds, between which all failures are new."""
    pool = CorrectivePool(capacity=size, max_age=8)
    pool.restore([_failure(number) for number in range(size)])
    found: dict[str, list[float]] = {}
    for index in range(rounds):
        first = size + index * POOL_OPERATIONS
        more = [_failure(number) for number in range(first, first + POOL_OPERATIONS)]
        turns: dict[str, Callable[[Failure], None]] = {
            "add, the oldest leaves": pool.add,
            "add again": pool.add,
            "pop the newest": lambda _: pool.remove(pool.candidates(1)),
            "fill up": pool.add,
            "expire and age": lambda _: _look(pool),
        }
        for name, turn in turns.items():
            started = time.perf_counter()
            for each in more:
                turn(each)
            found.setdefault(name, []).append(1e6 * (time.perf_counter() - started) / len(more))
    return {name: median(values) for name, values in found.items()}


def _look(pool: CorrectivePool) -> None:
    pool.expire(update=1)
    pool.mean_age()


def _failure(number: int) -> Failure:
    ids = (number % 1000, number // 1000)
    return Failure(str(number), "s", (), (), ids, ids, "", (), (), FailureKind.MISSING_CALL)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw(lines: Sequence[Line], path: Path) -> None:
    """One panel a quantity."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    figure: Figure
    figure, axes = plt.subplots(1, len(lines), figsize=(4 * len(lines), 3.2), layout="constrained")
    for line, axis in zip(lines, axes, strict=True):
        for name, values in line.columns.items():
            if name not in ("times as fast", "bound"):
                axis.plot(line.xs, values, marker="o", label=name)
        axis.set(title=line.title, xlabel=line.x, xscale="log", yscale="log")
        axis.set_xticks(line.xs, [f"{x:g}" for x in line.xs], minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _quiet(_what: str) -> None:
    """The lines of `say` are enough."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3, help="of every measurement (default: %(default)s)")
    parser.add_argument("--points", type=int, default=5, help="of every quantity, the smallest first (default: all)")
    parser.add_argument("--threads", type=int, help="of torch (default: all cores)")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    parser.add_argument("--picture", type=Path, help="draw the curves into this file")
    options = parser.parse_args()
    configure_cpu(options.threads)
    from fission_grpo.training.terminal import quieten
    from trainer_speed.machine import describe

    quieten()
    repetitions, first = options.repetitions, slice(options.points)
    lines = [
        pools(POOLS[first]),
        updates("Update by prompt", "tokens", PROMPTS[first], repetitions, prompt=None, group=GROUP),
        updates("Update by G", "G", GROUPS[first], repetitions, prompt=PROMPT, group=None),
        episodes(EPISODES[first], repetitions),
    ]
    command = f"`python benchmarks/scaling.py {' '.join(sys.argv[1:])}`"
    notes = (
        f"Medians of {repetitions}. Updates: one group, completions of {COMPLETION} tokens; by prompt at G = {GROUP}, by G "
        f"at prompts of {PROMPT}. *Bound*: ratio of operations. Pool: medians of means over {POOL_OPERATIONS} operations."
    )
    text = "\n".join(["# Scaling", "", command, "", describe(), "", notes, "", *(line.table() for line in lines)])
    print("\n" + text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    if options.picture is not None:
        draw(lines, options.picture)


if __name__ == "__main__":
    main()
