"""The state of a world: API instances that live as bytes until a call needs them, and how states are compared."""

import copyreg
import io
import pickle
import random
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from fission_grpo.environments.bfcl.package import Instances, state_checker
from fission_grpo.errors import InfrastructureError

_WORDS = struct.Struct("<625I")


def _restored_random(words: bytes, gauss_next: float | None) -> random.Random:
    generator = random.Random.__new__(random.Random)
    generator.setstate((3, _WORDS.unpack(words), gauss_next))
    return generator


def _reduced_random(generator: random.Random) -> tuple[Callable[..., random.Random], tuple[bytes, float | None]]:
    _, words, gauss_next = generator.getstate()
    return _restored_random, (_WORDS.pack(*words), gauss_next)


def _reduced_clock(_: datetime) -> tuple[type[datetime], tuple[int, int, int]]:
    return datetime, (1970, 1, 1)


class _StatePickler(pickle.Pickler):
    """Writes the 625 words of a generator as one string of bytes instead of 625 integers: most of a small state.

    The only clock in a state is when a file was last modified, which no tool reads: written as one constant, so that the
    same calls give the same bytes whenever they are made, and a resumed run has the same pool.
    """

    dispatch_table: Mapping[type, Callable[[Any], Any]] = {
        **copyreg.dispatch_table,
        random.Random: _reduced_random,
        datetime: _reduced_clock,
    }


class WorldState:
    """The API instances of one environment, each kept as bytes until it is played.

    Most tasks play one or two of their classes, so a fork copies little: bytes are shared, and only what a call has
    touched since the last `packed` is written again. Two `WorldState`s never share a live instance.
    """

    __slots__ = ("_live", "_packed")

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = dict(packed)
        self._live: Instances = {}

    def __getitem__(self, name: str) -> Any:
        """The live instance of a class, to be played: its bytes no longer count."""
        instance = self.peek(name)
        self._packed.pop(name, None)
        return instance

    def peek(self, name: str) -> Any:
        """The live instance of a class, to be read only."""
        if name not in self._live:
            self._live[name] = pickle.loads(self._packed[name])
        return self._live[name]

    def packed(self) -> dict[str, bytes]:
        """The whole state as bytes, by class.

        Raises:
            InfrastructureError: the state nests too deep to be copied.
        """
        for name, instance in self._live.items():
            if name not in self._packed:
                self._packed[name] = pack(instance)
        return dict(self._packed)

    def equals(self, other: "WorldState", hidden: bool = False, generators: bool = False) -> bool:
        """Whether both hold equal states.

        Public attributes are compared by bfcl-eval's own check. `hidden` adds the private ones that later results depend
        on, such as the current folder; `generators` also the random generators.
        """
        names = [name for name in self._names() | other._names() if not self._same_bytes(other, name)]
        ours = {name: self.peek(name) for name in names}
        theirs = {name: other.peek(name) for name in names}
        if hidden and any(_hidden(ours[name], generators) != _hidden(theirs[name], generators) for name in names):
            return False
        try:
            return bool(state_checker()(ours, theirs)["valid"])
        except RecursionError:  # a folder copied into itself compares without end
            return False

    def _names(self) -> set[str]:
        return self._packed.keys() | self._live.keys()

    def _same_bytes(self, other: "WorldState", name: str) -> bool:
        packed = self._packed.get(name)
        return packed is not None and packed == other._packed.get(name)


def pack(instance: Any) -> bytes:
    """One instance as bytes.

    Raises:
        InfrastructureError: its state nests too deep to be copied.
    """
    buffer = io.BytesIO()
    try:
        _StatePickler(buffer, protocol=5).dump(instance)
    except RecursionError as error:
        raise InfrastructureError("the state of the environment nests too deep to be copied") from error
    return buffer.getvalue()


def _hidden(instance: Any, with_generators: bool) -> dict[str, Any]:
    hidden: dict[str, Any] = {}
    for name, value in cast(dict[str, Any], vars(instance)).items():
        if name == "_current_dir":
            hidden[name] = _path(value)
        elif name == "_random":
            if with_generators:
                hidden[name] = value.getstate()
        elif name.startswith("_"):
            hidden[name] = value
    return hidden


def _path(folder: Any) -> list[str]:
    names: list[str] = []
    while folder is not None:
        names.append(folder.name)
        folder = folder.parent
    return names
