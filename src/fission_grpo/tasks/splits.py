"""Splits of tasks: written to disk with a manifest that says what they are and how to make them again, and kept apart."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Split, Task, save_tasks

MANIFEST = "manifest.json"


def tag_counts(tasks: Sequence[Task]) -> dict[str, int]:
    """How many tasks carry each tag, by name of the tag."""
    return dict(sorted(Counter(tag for task in tasks for tag in task.tags).items()))


def check_folder(folder: Path) -> None:
    """Raises UserError where `write_splits` would write over files that it did not write."""
    foreign = [name for split in get_args(Split) if (folder / (name := f"{split}.jsonl")).exists()]
    if foreign and not (folder / MANIFEST).exists():
        raise UserError(
            f"--out {folder}: {foreign[0]!r} in it was not generated, there is no {MANIFEST}; name another folder"
        )


def write_splits(tasks: Sequence[Task], folder: Path, *, command: str, seed: int) -> dict[str, Any]:
    """Writes `train.jsonl`, `validation.jsonl` and `test.jsonl` (those that have tasks) and `manifest.json`.

    Returns:
        The manifest: command, seed, version of bfcl-eval; per file its sha256, and how many tasks it holds, by tag.
    """
    files: dict[str, Any] = {}
    for split in get_args(Split):
        chosen = [task for task in tasks if task.split == split]
        path = folder / f"{split}.jsonl"
        path.unlink(missing_ok=True)  # of an earlier generation, which this one replaces as a whole
        if chosen:
            save_tasks(chosen, path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files[path.name] = {"sha256": digest, "tasks": len(chosen), "tags": tag_counts(chosen)}
    manifest = {"command": command, "seed": seed, "bfcl_eval": _version("bfcl-eval"), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def check_apart(train: Iterable[Task], evaluated: Iterable[Task], what: str) -> None:
    """Says where scenarios are trained on that `what` is evaluated on.

    Tasks of one scenario share configuration or wording. A name alone is no proof: splits of the compact mix, generated
    apart from each other with one seed, may use it for different scenarios.

    Raises:
        UserError: some are.
    """
    trained: defaultdict[str, list[Task]] = defaultdict(list)
    for task in train:
        trained[task.scenario].append(task)
    shared = {task.scenario for task in evaluated if any(_alike(task, other) for other in trained[task.scenario])}
    if shared:
        raise UserError(
            f"{what} and `tasks.train` share {len(shared)} scenarios, such as {min(shared)!r}; what is evaluated must "
            "not be trained on"
        )


def _alike(one: Task, other: Task) -> bool:
    return one.config == other.config or [turn.messages for turn in one.turns] == [turn.messages for turn in other.turns]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
