"""Writes generated tasks to disk: one file a split, and a manifest that says what they are and how to make them again."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from fission_grpo.tasks.task import Split, Task, save_tasks

MANIFEST = "manifest.json"


def tag_counts(tasks: Sequence[Task]) -> dict[str, int]:
    """How many tasks carry each tag, by name of the tag."""
    return dict(sorted(Counter(tag for task in tasks for tag in task.tags).items()))


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
