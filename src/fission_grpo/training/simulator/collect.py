"""`fission simulator collect`: failures of a policy become training examples of a simulator, in a folder.

OUT/train.jsonl, validation.jsonl, test.jsonl   TRL's conversational prompt-completion format, split by scenario
OUT/collection.json                             where they come from, what was kept and what was held back
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fission_grpo.errors import UserError
from fission_grpo.recipe import load_recipe
from fission_grpo.simulators.base import Simulator
from fission_grpo.training.lengths import Progress
from fission_grpo.training.simulator.examples import Example, ExampleFilter, Part, save_examples, teach, teacher_name
from fission_grpo.training.simulator.sampling import open_playground, sample_failures
from fission_grpo.training.simulator.sources import failures_of_results, failures_of_run, kind_of_source
from fission_grpo.types import Failure

COLLECTION_FILE = "collection.json"
TEACHING_BATCH = 64


@dataclass(frozen=True)
class Collection:
    """What was collected.

    Attributes:
        source: a recipe, a run folder or a result folder.
        model: the policy that was sampled; None where its rollouts were read.
        teacher: who wrote the targets.
        failures: failures met.
        filtered: what the filters did (`ExampleFilter.counts`).
        parts: examples in each file.
        kinds: examples by failure kind.
    """

    source: str
    model: str | None
    teacher: str
    failures: int
    filtered: dict[str, int]
    parts: dict[Part, int]
    kinds: dict[str, int]


def collect(
    source: Path, out: Path, *, count: int, seed: int, model: str | None, teacher: Simulator | None, progress: Progress
) -> Collection:
    """Collects examples from `count` failures into a folder.

    Args:
        source: a recipe, a run folder, or results of `fission eval bfcl`.
        model: samples this policy instead of the recipe's; only with a recipe.
        teacher: an endpoint; None for the rules.

    Raises:
        UserError: the source is none, the folder holds something, or nothing was kept.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it is not empty; give a new folder")
    failures, sampled = _failures(source, count, seed, model, progress)
    kept = ExampleFilter()
    examples = _taught(failures, teacher, kept, progress)
    if not examples:
        raise UserError(f"source {source}: of {len(failures)} failures no example was kept ({dict(kept.counts)})")
    collection = Collection(
        source=str(source),
        model=sampled,
        teacher=teacher_name(teacher),
        failures=len(failures),
        filtered=dict(kept.counts),
        parts=save_examples(examples, out),
        kinds=dict(Counter(example.failure.kind.value for example in examples).most_common()),
    )
    (out / COLLECTION_FILE).write_text(json.dumps(asdict(collection), indent=1), encoding="utf-8")
    return collection


def _failures(
    source: Path, count: int, seed: int, model: str | None, progress: Progress
) -> tuple[list[Failure], str | None]:
    """The failures, and the policy that was sampled for them."""
    kind = kind_of_source(source)
    if kind != "recipe" and model is not None:
        raise UserError(f"--model {model}: {source} holds rollouts already; --model goes with a recipe")
    if kind == "run":
        return failures_of_run(source, count), None
    if kind == "results":
        return failures_of_results(source, count, lambda done, of: progress("reading results", done, of)), None
    recipe = load_recipe(source)
    playground = open_playground(recipe, "train", model)
    found = sample_failures(playground, count, seed, lambda done, of: progress("sampling failures", done, of))
    return found, model or recipe.model


def _taught(
    failures: Sequence[Failure], teacher: Simulator | None, kept: ExampleFilter, progress: Progress
) -> list[Example]:
    examples: list[Example] = []
    name = teacher_name(teacher)
    for start in range(0, len(failures), TEACHING_BATCH):
        batch = failures[start : start + TEACHING_BATCH]
        for failure, answer in zip(batch, teach(batch, teacher), strict=True):
            example = kept.keep(failure, answer, name)
            examples += [] if example is None else [example]
        progress(f"diagnoses of {name}", start + len(batch), len(failures))
    return examples
