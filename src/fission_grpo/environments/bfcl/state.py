"""States of API instances: to bytes and back, and compared."""

import copyreg
import io
import pickle
import random
import struct
from collections.abc import Callable, Mapping
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


class _StatePickler(pickle.Pickler):
    """Writes the 625 words of a generator as one string of bytes instead of 625 integers: most of a small state."""

    dispatch_table: Mapping[type, Callable[[Any], Any]] = {**copyreg.dispatch_table, random.Random: _reduced_random}


def dump_instances(instances: Instances) -> bytes:
    """All instances in one pickle.

    Raises:
        InfrastructureError: the state nests too deep to be copied.
    """
    buffer = io.BytesIO()
    try:
        _StatePickler(buffer, protocol=5).dump(instances)
    except RecursionError as error:
        raise InfrastructureError("the state of the environment nests too deep to be copied") from error
    return buffer.getvalue()


def load_instances(state: bytes) -> Instances:
    """Instances that share nothing with any others."""
    return pickle.loads(state)


def equal_public_state(ours: Instances, theirs: Instances) -> bool:
    """The official comparison: all public attributes of all instances are equal."""
    try:
        return bool(state_checker()(ours, theirs)["valid"])
    except RecursionError:  # a folder copied into itself compares without end
        return False


def equal_hidden_state(ours: Instances, theirs: Instances, with_generators: bool) -> bool:
    """Whether also the private attributes are equal that later results depend on, such as the current folder."""
    return all(_hidden(ours[name], with_generators) == _hidden(theirs[name], with_generators) for name in theirs)


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
