"""Environments by name. A plug-in registers its class in the entry point group `fission_grpo.environments`."""

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from fission_grpo.environments.base import Environment
from fission_grpo.errors import UserError

GROUP = "fission_grpo.environments"


@cache
def _registered() -> dict[str, EntryPoint]:
    """Looked up once: it reads the metadata of every installed package, and every episode makes an environment."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def make_environment(name: str) -> Environment:
    """A new environment of the class registered under that name.

    Raises:
        UserError: no such name (the nearest ones are named), or what it names is no environment.
    """
    registered = _registered()
    if name not in registered:
        nearest = difflib.get_close_matches(name, registered, n=3, cutoff=0.4) or sorted(registered)
        raise UserError(f"environment {name!r}: no such environment; did you mean {', '.join(map(repr, nearest))}?")
    environment = registered[name].load()()
    if not isinstance(environment, Environment):
        raise UserError(f"environment {name!r}: {registered[name].value} lacks methods of the Environment protocol")
    return environment
