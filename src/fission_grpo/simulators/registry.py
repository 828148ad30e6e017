"""Simulators by name: every entry point of the group `fission_grpo.simulators`, our own and those of plug-ins."""

import difflib
from collections.abc import Sequence
from importlib.metadata import entry_points

from fission_grpo.errors import UserError
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.chain import FallbackChain

GROUP = "fission_grpo.simulators"


def registered_simulators() -> set[str]:
    """The names that `make_simulator` knows."""
    return {entry.name for entry in entry_points(group=GROUP)}


def make_simulator(name: str) -> Simulator:
    """Makes the simulator that is registered under a name, with its defaults.

    Raises:
        UserError: no such name; says which come nearest and which there are.
    """
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in registered:
        nearest = difflib.get_close_matches(name, registered)
        meant = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        raise UserError(f"simulator {name!r}: unknown name{meant} (registered: {', '.join(sorted(registered))})")
    return registered[name].load()()


def make_chain(names: Sequence[str]) -> FallbackChain:
    """The fallback chain that a recipe names, such as `["environment", "rules", "fixed"]`.

    Raises:
        UserError: no names, or one that is unknown.
    """
    if not names:
        raise UserError("simulators: the list is empty; name at least one, such as ['rules']")
    return FallbackChain([make_simulator(name) for name in names])
