"""What the processes of one run agree on. With a single process, nothing here does anything."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from fission_grpo.errors import UserError

Result = TypeVar("Result")


def from_main(act: Callable[[], Result]) -> Result:
    """What `act` gives on the main process, alone in calling it, for every process. All of them wait for it.

    Raises:
        UserError: everywhere, where `act` raised it.
    """
    state = PartialState()
    if state.num_processes == 1:
        return act()
    told: list[Any] = [None]
    if state.is_main_process:
        try:
            told = [act()]
        except UserError as error:
            told = [error]
    result = broadcast_object_list(told)[0]
    if isinstance(result, UserError):
        raise result
    return result


def summed(counts: Mapping[str, float]) -> dict[str, float]:
    """The sum of every process's counts, on every process; each has to call it, with nothing to count too."""
    total: Counter[str] = Counter()
    for own in gather_object([dict(counts)]):
        total.update(own)
    return dict(total)
