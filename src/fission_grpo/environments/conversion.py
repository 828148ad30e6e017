"""What `fission tasks convert` does: tasks become step rows, and files of step rows change their layout."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fission_grpo.environments.base import Environment
from fission_grpo.environments.registry import make_environment
from fission_grpo.environments.steps import Place, step_instance, step_places
from fission_grpo.errors import UserError
from fission_grpo.tasks.layouts import LAYOUTS, LayoutName
from fission_grpo.tasks.step_files import is_task_file, open_steps, write_steps
from fission_grpo.tasks.steps import StepRow
from fission_grpo.tasks.task import load_tasks

_BY_SUFFIX: dict[str, LayoutName] = {".jsonl": "steps", ".parquet": "trl"}


@dataclass(frozen=True)
class Conversion:
    """What was converted: from which layout (`tasks` too) into which, how many rows, and which columns were left out."""

    read: str
    written: LayoutName
    rows: int
    ignored: tuple[str, ...] = ()


def layout_of(target: Path, to: LayoutName | None) -> LayoutName:
    """The layout of a file to be written: the one asked for, else by its suffix.

    Raises:
        UserError: the suffix belongs to no layout, or not to this one.
    """
    name = to or _BY_SUFFIX.get(target.suffix)
    if name is None:
        raise UserError(f"OUTPUT {target}: found the suffix {target.suffix!r}, allowed: {', '.join(_BY_SUFFIX)}")
    if target.suffix not in LAYOUTS[name].suffixes:
        allowed = " or ".join(LAYOUTS[name].suffixes)
        raise UserError(f"OUTPUT {target}: found the suffix {target.suffix!r}, --to {name} is written as {allowed}")
    return name


def convert(source: Path, target: Path, to: LayoutName | None, on_row: Callable[[int], None]) -> Conversion:
    """Converts a task file, or a file of step rows in any layout.

    Args:
        source: its layout is recognised by its suffix and columns.
        to: the layout to be written; None takes the usual one of the suffix (`.jsonl` steps, `.parquet` trl).
        on_row: called after each row with the number of rows in all, for a progress bar.

    Raises:
        UserError: a file that is not there or cannot be understood, or a broken row, named with its place.
    """
    name = layout_of(target, to)
    if source.exists() and target.exists() and source.samefile(target):
        raise UserError(f"OUTPUT {target}: it is the input; name another file")
    if is_task_file(source):
        places = list(step_places(load_tasks(source)))
        rows = _counted(_rows_of(places), len(places), on_row)
        return Conversion("tasks", name, write_steps(rows, target, name))
    file = open_steps(source)
    rows = _counted(file.rows(), file.count, on_row)
    return Conversion(file.layout.name, name, write_steps(rows, target, name), tuple(file.ignored))


def _rows_of(places: Iterable[Place]) -> Iterator[StepRow]:
    environments: dict[str, Environment] = {}
    for place in places:
        name = place[0].environment
        if name not in environments:
            environments[name] = make_environment(name)
        yield step_instance(environments[name], place).row()


def _counted(rows: Iterable[StepRow], total: int, on_row: Callable[[int], None]) -> Iterator[StepRow]:
    for row in rows:
        yield row
        on_row(total)
