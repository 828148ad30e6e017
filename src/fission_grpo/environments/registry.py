"""Environments by name. A plug-in registers its class in the entry point group `fission_grpo.environments`."""

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from fission_grpo.environments.base import Environment
from fission_grpo.errors import UserError
from fission_grpo.recipe.schema import UserSection

if TYPE_CHECKING:
    from fission_grpo.environments.tau2 import EndpointUser

GROUP = "fission_grpo.environments"


@cache
def _registered() -> dict[str, EntryPoint]:
    """Looked up once: it reads the metadata of every installed package, and every episode makes an environment."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def make_environment(name: str, user: UserSection | None = None) -> Environment:
    """A new environment of the class registered under that name.

    Args:
        user: the endpoint that plays the user, where the environment has one (`tau2`); by default its own.

    Raises:
        UserError: no such name (the nearest ones are named), or what it names is no environment.
    """
    registered = _registered()
    if name not in registered:
        nearest = difflib.get_close_matches(name, registered, n=3, cutoff=0.4) or sorted(registered)
        raise UserError(f"environment {name!r}: no such environment; did you mean {', '.join(map(repr, nearest))}?")
    settings = {} if user is None else {"user": endpoint_user(user.base_url, user.model)}
    environment = registered[name].load()(**settings)
    if not isinstance(environment, Environment):
        raise UserError(f"environment {name!r}: {registered[name].value} lacks methods of the Environment protocol")
    return environment


@cache  # connections are shared by all environments of a run
def endpoint_user(base_url: str, model: str) -> "EndpointUser":
    """The user model that a recipe's `user` stands for."""
    from fission_grpo.environments.tau2 import EndpointUser

    return EndpointUser(base_url, model)
