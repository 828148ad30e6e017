"""What all rollouts of one task share: its packed form, initial state, tools, and the ground truth of every turn."""

import hashlib
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fission_grpo.environments.bfcl.executor import MethodTable, execute, method_table, new_instances
from fission_grpo.environments.bfcl.package import CLASSES
from fission_grpo.environments.bfcl.state import WorldState, pack
from fission_grpo.environments.bfcl.tools import class_tools
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Tool

MAX_PREPARED = 2048


def digest(text: str) -> bytes:
    """A result as the judge keeps it: equality is all it needs, and long-context results are long."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


@dataclass(frozen=True)
class TurnTruth:
    """What the reference calls of one turn lead to."""

    state: Mapping[str, bytes]
    results: tuple[bytes, ...]


class PreparedTask:
    """A task checked and made ready to play. Immutable; the ground truth is played once, when first asked for.

    Raises:
        UserError: the task names unknown classes or tools, or its configuration cannot be loaded.
    """

    def __init__(self, task: Task, key: bytes, packed: bytes) -> None:
        self.task = task
        self.key = key
        self.packed = packed
        methods = _checked_methods(task)
        self.table: MethodTable = {name: methods[name] for name in task.tools} if task.tools else methods
        """What the policy may call. Tools withheld for now are in it: bfcl-eval executes them, too."""
        self._methods = methods
        self.initial = _initial_state(task)

    @cached_property
    def truth(self) -> tuple[TurnTruth, ...]:
        """Per turn, the state at its end and the results of its reference calls."""
        state = WorldState(self.initial)
        turns: list[TurnTruth] = []
        for turn in self.task.turns:
            results = tuple(digest(execute(call, self._methods, state)) for call in turn.calls)
            turns.append(TurnTruth(state.packed(), results))
        return tuple(turns)

    def tools(self, turn: int) -> tuple[Tool, ...]:
        """The tools offered in a turn. Shared: not to be changed."""
        withheld = frozenset(name for later in self.task.turns[turn + 1 :] for name in later.new_tools)
        return _offered(self.task.classes, self.task.tools, withheld)


_prepared: OrderedDict[bytes, PreparedTask] = OrderedDict()
_key_of_object: dict[int, bytes] = {}
"""`id` of a prepared task -> its key: the same object need not be pickled again to be recognised."""


def prepare(task: Task) -> PreparedTask:
    """The prepared form of a task, from the cache where it is there."""
    known = _key_of_object.get(id(task))
    if known is not None and (prepared := _cached(known)) is not None and prepared.task is task:
        return prepared
    pickled = pickle.dumps(task, protocol=5)
    key = hashlib.blake2b(pickled, digest_size=16).digest()
    prepared = _cached(key) or _keep(PreparedTask(task, key, zlib.compress(pickled)))
    _key_of_object[id(prepared.task)] = key
    return prepared


def unpack(key: bytes, packed: bytes) -> PreparedTask:
    """The prepared form of the task that a snapshot carries."""
    return _cached(key) or _keep(PreparedTask(pickle.loads(zlib.decompress(packed)), key, packed))


def _cached(key: bytes) -> PreparedTask | None:
    prepared = _prepared.get(key)
    if prepared is not None:
        _prepared.move_to_end(key)
    return prepared


def _keep(prepared: PreparedTask) -> PreparedTask:
    _prepared[prepared.key] = prepared
    if len(_prepared) > MAX_PREPARED:
        _, dropped = _prepared.popitem(last=False)
        _key_of_object.pop(id(dropped.task), None)
    return prepared


def _checked_methods(task: Task) -> MethodTable:
    if not task.classes:
        raise UserError(f"task {task.id}, field classes: empty; allowed: {', '.join(CLASSES)}")
    table = method_table(task.classes)
    for name in (*task.tools, *(name for turn in task.turns for name in turn.new_tools)):
        if name not in table:
            raise UserError(f"task {task.id}: tool {name!r} is no function of {', '.join(task.classes)}")
    return table


def _initial_state(task: Task) -> dict[str, bytes]:
    try:
        instances = new_instances(task.classes, task.config, task.long_context)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"task {task.id}, field config: BFCL cannot load it ({type(error).__name__}: {error})") from error
    return {name: pack(instance) for name, instance in instances.items()}


@lru_cache(maxsize=1024)
def _offered(classes: tuple[str, ...], names: tuple[str, ...], withheld: frozenset[str]) -> tuple[Tool, ...]:
    tools = (tool for class_name in classes for tool in class_tools(class_name))
    return tuple(
        tool
        for tool in tools
        if tool["function"]["name"] not in withheld and (not names or tool["function"]["name"] in names)
    )
