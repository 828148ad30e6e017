"""A run folder: everything that a run was and did, in one place.

    recipe.yaml           as resolved, every default written out
    versions.json         of this package and of what it stands on
    metrics.jsonl         one line an update
    trajectories/         exploration_groups.jsonl and fission_groups.jsonl: one line a group
    alignment.jsonl       one line a measurement of the simulator, and one a refresh
    checkpoint-*/         whole once `COMPLETE` is in it
    model/                the trained policy

Logs only grow. A checkpoint keeps their lengths, and a resumed run cuts them back to it, so that no line stands twice.
"""

import fcntl
import json
import logging
import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fission_grpo.disk import append_line, disk_fault, write_whole
from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe, dump_recipe, load_recipe
from fission_grpo.recipe.nesting import differences
from fission_grpo.training import checkpoint

ALIGNMENT_LOG = "alignment.jsonl"
GROUP_LOGS = {"exploration": "trajectories/exploration_groups.jsonl", "recovery": "trajectories/fission_groups.jsonl"}
LOGS = ("metrics.jsonl", *GROUP_LOGS.values(), ALIGNMENT_LOG)
_CHANGEABLE = (
    "trainer.max_steps",
    "trainer.per_device_train_batch_size",
    "trainer.gradient_accumulation_steps",
    "trainer.steps_per_generation",
    "trainer.save_total_limit",
    "trainer.report_to",
    "rollout.max_new_tokens",
    "evaluation",
    "tasks.test",
)
"""Keys of the recipe that may change within a run. A checkpoint holds more than it seems to: learning rate and `save_steps`
would stay as they were, and rows in the pool are known by their place in the tasks."""
_LOGGER = logging.getLogger(__name__)
_PACKAGES = ("fission-grpo", "torch", "transformers", "trl", "accelerate", "peft", "datasets", "bfcl-eval")


class RunFolder:
    """Paths and logs of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Starts a run folder.

        Raises:
            UserError: there is a run in it already, or something that a run would write over.
        """
        if (path / "recipe.yaml").exists():
            raise UserError(
                f"run folder {path}: there is a run in it; `fission resume {path}` continues it, --run names another"
            )
        foreign = [each.name for name in ("model", "checkpoint-*", *LOGS) for each in path.glob(name)]
        if foreign:
            raise UserError(
                f"run folder {path}: {foreign[0]!r} in it is of no run, there is no recipe.yaml; --run names another"
            )
        (path / "trajectories").mkdir(parents=True, exist_ok=True)
        (path / "versions.json").write_text(json.dumps(_versions(), indent=1), encoding="utf-8")
        write_whole(path / "recipe.yaml", dump_recipe(recipe))  # whoever finds it takes the run up again
        return cls(path)

    def keep(self, recipe: Recipe) -> None:
        """Keeps the recipe that a resumed run goes on with (see `check_changes`)."""
        if recipe != self.recipe():
            write_whole(self.path / "recipe.yaml", dump_recipe(recipe))

    def take_back(self) -> None:
        """Undoes `create`: a mistake was found before anything was trained, and the corrected command begins here anew."""
        for name in ("recipe.yaml", "versions.json", ".lock"):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there
            (self.path / "trajectories").rmdir()
            self.path.rmdir()

    def recipe(self) -> Recipe:
        """The recipe as it was resolved.

        Raises:
            UserError: this is no run folder.
        """
        if not (self.path / "recipe.yaml").is_file():
            raise UserError(
                f"run folder {self.path}: no recipe.yaml in it; `fission train RECIPE --run {self.path}` starts a run"
            )
        return load_recipe(self.path / "recipe.yaml")

    def compare_versions(self) -> None:
        """Says on the log what is installed now in another version than when the run began."""
        began = self.path / "versions.json"
        if not began.is_file():
            return
        then: dict[str, str] = json.loads(began.read_text(encoding="utf-8"))
        changed = [f"{name} {now} ({then[name]})" for name, now in _versions().items() if then.get(name, now) != now]
        if changed:
            _LOGGER.warning("%s goes on with other versions than it began with: %s", self.path, ", ".join(changed))

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keeps the run to this process while it trains: two would write into each other's logs. A kill ends it too.

        Raises:
            UserError: another process trains in this folder.
        """
        with (self.path / ".lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:  # which of them depends on the file system
                raise UserError(
                    f"run folder {self.path}: another process trains in it; wait for its end, or stop it"
                ) from error
            except OSError:  # a file system without locks
                pass
            yield

    def append(self, log: str, record: Mapping[str, Any]) -> None:
        """Adds one line to a log, as a whole or not at all.

        Raises:
            UserError: the disk is full, or fails otherwise.
        """
        try:
            append_line(self.path / log, json.dumps(record, ensure_ascii=False))
        except OSError as error:
            fault = disk_fault(error)
            if fault is None:
                raise
            advice = f"mend that, and {checkpoint.how_to_go_on(self.path)}"
            raise UserError(f"log {self.path / log}: {fault}; {advice}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The log of updates so far."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def tokens(self) -> float:
        """Tokens processed so far: prefilled, sampled and trained."""
        return sum(sum(record["tokens"].values()) for record in self.metrics())

    def offsets(self) -> dict[str, int]:
        """The present length of every log in bytes, as a checkpoint keeps it; so much is synced."""
        return {log: _synced_size(self.path / log) for log in LOGS}

    def check_logs(self, offsets: Mapping[str, int], taken: Path) -> None:
        """Raises UserError where a log has lost what it held when the checkpoint was taken that these offsets are of."""
        for log, size in offsets.items():
            path = self.path / log
            found = path.stat().st_size if path.exists() else 0
            if found < size:
                raise UserError(
                    f"{path}: {found} bytes found, at least {size} needed: {taken.name} was taken when it held them; "
                    f"restore it, or delete {taken} to go on from an older one"
                )

    def cut_back(self, offsets: Mapping[str, int]) -> None:
        """Drops what the logs gained after a checkpoint was taken."""
        (self.path / "trajectories").mkdir(exist_ok=True)  # whoever copied a run may have left its logs out
        for log in LOGS:
            path = self.path / log
            if path.exists():
                with path.open("rb+") as file:
                    file.truncate(offsets.get(log, 0))


def check_changes(before: Recipe, after: Recipe) -> None:
    """Says what a resume cannot change.

    Raises:
        UserError: the recipes differ in more than may change within a run.
    """
    for key, (was, now) in differences(before.model_dump(mode="json"), after.model_dump(mode="json")).items():
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in _CHANGEABLE):
            raise UserError(
                f"{key}: {now!r} found, but the run began with {was!r}; that needs a run of its own. "
                f"Within a run may change: {', '.join(_CHANGEABLE)}"
            )


def _synced_size(log: Path) -> int:
    if not log.exists():
        return 0
    with log.open("rb") as file:
        os.fsync(file.fileno())
        return file.seek(0, os.SEEK_END)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
