"""The scalars of calls: what there is to leak, and what the failed message itself passed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from fission_grpo.simulators.leak.text import fold
from fission_grpo.types import ToolCall

SHORT = 3
"""Values with fewer characters than this count only when bound explicitly."""


@dataclass(frozen=True)
class Scalar:
    """A scalar of a call, with the tool and the parameter (for an object, its key) that hold it."""

    tool: str
    parameter: str
    value: Any

    @property
    def is_short(self) -> bool:
        """Whether the value is so common that only explicit binding counts."""
        return isinstance(self.value, bool) or self.value is None or len(str(self.value)) < SHORT


def scalars_of(calls: Iterable[ToolCall]) -> Iterator[Scalar]:
    """Every scalar of some calls, in order. Lists give their items, objects their keys as parameters."""
    for call in calls:
        for parameter, value in call.arguments.items():
            for name, scalar in _inside(parameter, value):
                yield Scalar(call.name, name, scalar)


def same_scalar(first: Any, second: Any) -> bool:
    """Whether two values differ in nothing but case, quotes and white space."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return first == second or (isinstance(first, str) and isinstance(second, str) and fold(first) == fold(second))


def _inside(parameter: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _inside(key, item)
    elif isinstance(value, list | tuple):
        for item in cast(list[Any], value):
            yield from _inside(parameter, item)
    else:
        yield parameter, value
