"""How diverse are generated tasks, and do they share anything with the benchmark?

    python benchmarks/task_report.py --count 5000 --seed 0     # writes benchmarks/results/task_{diversity,contamination}.md

Generates tasks of the benchmark mix, and measures them beside the benchmark's own 800 multi-turn tasks. The measures that
depend on the number of tasks are also taken of 800 and of 200 generated ones. The test of contamination is tested itself: it
has to find every one of the benchmark's own tasks.
"""

import argparse
import platform
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fission_grpo.environments.bfcl import CATEGORIES, BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.package import CLASSES
from fission_grpo.tasks.catalogue import tool_names
from fission_grpo.tasks.contamination import (
    NGRAM,
    RUN,
    Benchmark,
    fingerprints,
    ngrams,
    official_benchmark,
    reference_sequence,
    runs,
    user_text,
)
from fission_grpo.tasks.families import BENCHMARK_FAMILIES
from fission_grpo.tasks.generate import generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.names import CONSONANTS, VOWELS
from fission_grpo.tasks.task import Task, load_tasks

HERE = Path(__file__).parent
RESULTS = HERE / "results"
COMPACT_FILES = ("train", "test")
THE_TOOLS = (
    "The *tools* are the benchmark's own: a policy trained on these tasks has seen the eight APIs and the texts of their "
    "errors, though none of the benchmark's tasks. A score on the benchmark after such training is not that of a policy "
    "to which the tools are new.\n"
)
_INVENTED = re.compile(f"(?:[{CONSONANTS}][{VOWELS}]){{2,3}}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Sample:
    """A column of the table."""

    title: str
    tasks: Sequence[Task]


def messages(task: Task) -> list[str]:
    """What the user says, message by message, without what bfcl-eval prescribes."""
    return user_text(task).splitlines()


def masked(task: Task) -> list[str]:
    """The same with a dash for every name and number: the wording alone.

    Masked are words with a digit, words in the arguments of the reference, and those that look like invented names.
    """
    values = {word for call in reference_sequence(task) for word in _WORD.findall(call.partition(" ")[2].lower())}

    def mask(word: str) -> str:
        return "-" if word in values or _INVENTED.fullmatch(word) or any(map(str.isdigit, word)) else word

    return [" ".join(mask(word) for word in _WORD.findall(message.lower())) for message in messages(task)]


def distinct_share(texts: Iterable[str], size: int) -> str:
    """Distinct runs of `size` words, of all runs."""
    found = [gram for text in texts for gram in _grams(text, size)]
    return f"{len(set(found)) / len(found):.3f}"


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def compression(texts: Iterable[str]) -> str:
    """Compressed size (zlib, level 9) of all texts, of their size: the lower, the more they repeat each other."""
    data = "\n".join(texts).encode()
    return f"{len(zlib.compress(data, 9)) / len(data):.3f}"


def spread(values: Sequence[int]) -> str:
    return f"{mean(values):.2f} ({min(values)} to {max(values)})"


def called(task: Task) -> tuple[str, ...]:
    """Names of the tools that the reference calls."""
    return tuple(call.name for turn in task.turns for call in turn.calls)


def tagged(tasks: Sequence[Task], prefix: str) -> Counter[str]:
    return Counter(tag.removeprefix(prefix) for task in tasks for tag in task.tags if tag.startswith(prefix))


def share_with(tasks: Sequence[Task], tag: str) -> str:
    return f"{100 * sum(tag in task.tags for task in tasks) / len(tasks):.1f}%"


def unique(tasks: Sequence[Task]) -> int:
    return len({(user_text(task), str(task.config), task.long_context) for task in tasks})


TOOLS = {name for api in CLASSES for name in tool_names(api)}
MEASURES: dict[str, Callable[[Sequence[Task]], object]] = {
    "tasks": len,
    "unique (words, configuration)": unique,
    "API classes": lambda tasks: len({api for task in tasks for api in task.classes}),
    "single classes and pairs of classes": lambda tasks: len({frozenset(task.classes) for task in tasks}),
    f"tools called, of {len(TOOLS)}": lambda tasks: len({name for task in tasks for name in called(task)}),
    "user messages a task": lambda tasks: spread([len(task.turns) for task in tasks]),
    "reference calls a task": lambda tasks: spread([len(called(task)) for task in tasks]),
    "reference calls a message that has any": lambda tasks: spread(
        [len(turn.calls) for task in tasks for turn in task.turns if turn.calls]
    ),
    "distinct sequences of tool names (whole tasks)": lambda tasks: len({called(task) for task in tasks}),
    "distinct pairs of successive tool names": lambda tasks: len(
        {pair for task in tasks for pair in zip(called(task), called(task)[1:], strict=False)}
    ),
    "words a message": lambda tasks: f"{mean(len(_WORD.findall(m)) for task in tasks for m in messages(task)):.1f}",
    "distinct messages, of all": lambda tasks: _distinct(messages(task) for task in tasks),
    "distinct wordings (names and numbers masked), of all": lambda tasks: _distinct(masked(task) for task in tasks),
    "distinct words": lambda tasks: len({word for task in tasks for m in masked(task) for word in m.split()}),
    "distinct 3-grams, share": lambda tasks: distinct_share((m for task in tasks for m in messages(task)), 3),
    "distinct 4-grams, share": lambda tasks: distinct_share((m for task in tasks for m in messages(task)), 4),
    "distinct 3-grams of wordings, share": lambda tasks: distinct_share((m for task in tasks for m in masked(task)), 3),
    "distinct 4-grams of wordings, share": lambda tasks: distinct_share((m for task in tasks for m in masked(task)), 4),
    "compressed size of the messages, share": lambda tasks: compression(m for task in tasks for m in messages(task)),
    "compressed size of the wordings, share": lambda tasks: compression(m for task in tasks for m in masked(task)),
}


def _distinct(texts: Iterable[Sequence[str]]) -> str:
    every = [text for each in texts for text in each]
    return f"{len(set(every)):,} of {len(every):,}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def diversity_page(command: str, samples: Sequence[Sample], seconds: float) -> str:
    tasks = samples[0].tasks
    counts = table(
        ["category", "tasks", "with a hidden hazard", "with an open hazard"],
        [
            (category, count, *(_both(tasks, category, kind) for kind in ("hidden_hazard", "open_hazard")))
            for category, count in sorted(tagged(tasks, "category:").items())
        ],
    )
    classes = Counter(" + ".join(sorted(task.classes)) for task in tasks)
    singles = {name: count for name, count in classes.items() if " + " not in name}
    pairs = {name: count for name, count in classes.items() if " + " in name}
    missing = sorted(TOOLS - {name for task in tasks for name in called(task)})
    hazards = ", ".join(f"{name} {count}" for name, count in tagged(tasks, "hazard:").most_common())
    families = tagged(tasks, "family:")
    return (
        f"# Diversity of generated tasks\n\n`{command}`: Python {platform.python_version()}, one process, one thread.\n\n"
        f"{len(tasks):,} tasks of the benchmark mix were generated and proven in {seconds:.1f} CPU seconds "
        f"({1000 * seconds / len(tasks):.1f} ms a task). Every one was played: the reference is valid, each of its "
        f"{sum(len(called(task)) for task in tasks):,} calls is needed, each of the "
        f"{sum(len(task.careless) for task in tasks):,} careless calls errs and can be recovered from.\n\n{THE_TOOLS}\n"
        + table(["", *(sample.title for sample in samples)], [_row(name, samples) for name in MEASURES])
        + "\nShares fall with the number of tasks: compare 800 with 800, and 200 with 200. (The benchmark's four categories "
        "reuse the scenarios of its base category, which stands alone in the last column.) In wordings, names and numbers "
        "are masked, so that invented names do not count as diversity: there the benchmark, written by people and models "
        "and not from templates, is far more varied.\n\n"
        f"## What is in the {len(tasks):,} tasks\n\n{counts}\n"
        f"{len(families)} of {len(BENCHMARK_FAMILIES)} families, {min(families.values())} to {max(families.values())} tasks "
        f"each. Hazards: {hazards}.\n\n"
        f"One class: {_listed(singles)}. {len(pairs)} pairs of classes, {min(pairs.values())} to {max(pairs.values())} "
        f"tasks each.\n\nTools that no reference calls: {', '.join(missing)}.\n"
    )


def _row(name: str, samples: Sequence[Sample]) -> list[object]:
    return [name, *(MEASURES[name](sample.tasks) for sample in samples)]


def _both(tasks: Sequence[Task], category: str, tag: str) -> int:
    return sum(f"category:{category}" in task.tags and tag in task.tags for task in tasks)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


CHECKS: dict[str, Callable[[Task, Benchmark], bool]] = {
    "a configuration of an API class": lambda task, known: bool(fingerprints(task.config) & known.configurations),
    f"{NGRAM} words in a row of the user": lambda task, known: any(ngrams(line) & known.ngrams for line in messages(task)),
    "all reference calls with their arguments": lambda task, known: reference_sequence(task) in known.sequences,
    f"{RUN} reference calls in a row with their arguments": lambda task, known: bool(
        runs(reference_sequence(task)) & known.runs
    ),
}


def contamination_page(command: str, samples: Sequence[Sample]) -> str:
    known = official_benchmark()
    held = (known.configurations, known.ngrams, known.sequences, known.runs)
    rows = [
        [name, f"{len(things):,}", *(_found(sample.tasks, CHECKS[name], known) for sample in samples)]
        for name, things in zip(CHECKS, held, strict=True)
    ]
    rows.append(["any of these", "", *(_found(sample.tasks, _any_check, known) for sample in samples)])
    own = samples[-1].tasks
    weaker = [[name, *(_found(sample.tasks, check, known) for sample in samples)] for name, check in _weaker(own).items()]
    titles = [sample.title for sample in samples]
    generated = samples[0].tasks
    splits = {split: [task for task in generated if task.split == split] for split in ("train", "validation", "test")}
    return (
        f"# Contamination of generated tasks by the benchmark\n\n`{command}`\n\n{THE_TOOLS}\n"
        "What tasks share with BFCL's 800 multi-turn tasks. The last column is the test of the test: the benchmark's own "
        "tasks have to be found.\n\n"
        + table(["shared", "the benchmark holds", *titles], rows)
        + "\nThe generator of the benchmark mix refuses a task that shares any of these. Single calls and pairs are the "
        "tools' own grammar; a solution shows in a run of calls with their arguments (5.0 and 5 are the same argument; runs "
        f"cross the borders of turns). Messages of fewer than {NGRAM} words cannot share {NGRAM}. The sentence about "
        "updated functions in `miss_func` is bfcl-eval's own and prescribed word for word; it is no part of the user's text "
        "here, on either side. Tasks of the compact mix are fixed and were made without the two tests of calls.\n\n"
        "What is *not* refused, for comparison:\n\n"
        + table(["shared", *titles], weaker)
        + "\n## Between splits\n\n"
        + table(["split", "tasks", "scenarios shared with another", "messages shared with another"], _between(splits))
        + "\nShared messages hold no invented name (*Which stocks do I watch?*); the words of a whole task are never shared."
        "\n"
    )


def _weaker(own: Sequence[Task]) -> dict[str, Callable[[Task, Benchmark], bool]]:
    """Checks that the generator does not make, against the benchmark's own tasks."""
    pairs = {pair for task in own for pair in runs(reference_sequence(task), 2)}
    checks: dict[str, Callable[[Task, Benchmark], bool]] = {
        f"{size} words in a row": partial(_shares_words, size, _said(own, size)) for size in range(4, NGRAM)
    }
    return {**checks, "2 reference calls in a row": partial(_shares_pairs, pairs)}


def _said(tasks: Sequence[Task], size: int) -> set[tuple[str, ...]]:
    return {gram for task in tasks for message in messages(task) for gram in ngrams(message, size)}


def _shares_words(size: int, grams: set[tuple[str, ...]], task: Task, _: Benchmark) -> bool:
    return not _said([task], size).isdisjoint(grams)


def _shares_pairs(pairs: set[tuple[str, ...]], task: Task, _: Benchmark) -> bool:
    return not runs(reference_sequence(task), 2).isdisjoint(pairs)


def _any_check(task: Task, known: Benchmark) -> bool:
    return any(check(task, known) for check in CHECKS.values())


def _found(tasks: Sequence[Task], check: Callable[[Task, Benchmark], bool], known: Benchmark) -> str:
    return f"{sum(check(task, known) for task in tasks):,} of {len(tasks):,}"


def _between(splits: dict[str, list[Task]]) -> list[list[object]]:
    rows: list[list[object]] = []
    for split, tasks in splits.items():
        others = [task for other, held in splits.items() if other != split for task in held]
        scenarios = {task.scenario for task in tasks} & {task.scenario for task in others}
        said = {m for task in others for m in messages(task)}
        own = {m for task in tasks for m in messages(task)}
        rows.append([split, f"{len(tasks):,}", len(scenarios), f"{len(own & said):,} of {len(own):,}"])
    return rows


def generated(count: int, seed: int) -> tuple[list[Task], float]:
    """Tasks of the benchmark mix, and the CPU seconds that they took."""
    official_benchmark()  # read once, and not part of the time of a task
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("Generating and proving tasks", total=count)
        start = time.process_time()
        tasks = generate_tasks(count, seed, BFCLEnvironment(), mix=Mix.BENCHMARK, on_task=lambda: progress.advance(bar))
        return tasks, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="how many tasks to generate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generator (default: %(default)s)")
    options = parser.parse_args()
    if options.count < 800:
        parser.error(f"--count: found {options.count}, allowed are 800 or more: as many as the benchmark has")
    tasks, seconds = generated(options.count, options.seed)
    official = [task for category in CATEGORIES for task in official_tasks(category)]
    compact = [task for name in COMPACT_FILES for task in load_tasks(HERE / "learning" / f"{name}.jsonl")]
    command = f"python benchmarks/task_report.py --count {options.count} --seed {options.seed}"
    mine, theirs = Sample("generated", tasks), Sample("BFCL's 800", official)
    fewer = [Sample(f"{size} of them", tasks[:size]) for size in (800, 200)]
    columns = (mine, fewer[0], theirs, fewer[1], Sample("BFCL's base 200", official[:200]))
    (RESULTS / "task_diversity.md").write_text(diversity_page(command, columns, seconds), encoding="utf-8")
    columns = (mine, Sample("compact mix (benchmarks/learning)", compact), theirs)
    (RESULTS / "task_contamination.md").write_text(contamination_page(command, columns), encoding="utf-8")
    for name in ("task_diversity.md", "task_contamination.md"):
        print((RESULTS / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
