"""tau2's own environments, made in microseconds, bounded, and packed for snapshots.

They are registered with tau2 under names of ours, so that its evaluator builds them too: it plays every episode again, twice
loading databases of up to 7 MB otherwise.
"""

import pickle
from collections.abc import Callable
from functools import cache, partial, wraps
from threading import Lock
from typing import Any

from fission_grpo.environments.tau2.arithmetic import check_expression
from fission_grpo.environments.tau2.package import package_module
from fission_grpo.environments.tau2.payments import check_payments
from fission_grpo.environments.tau2.tables import SharedDatabase, changes_of, database_hash, equal

SHARED = frozenset({"retail", "airline"})
"""Domains whose databases are tables of records by key. Telecom's are small, and lists."""


_REGISTERING = Lock()


def registered(domain: str) -> str:
    """The name under which tau2's evaluator finds our worlds of a domain."""
    name, registry = f"fission_grpo/{domain}", package_module("registry").registry
    with _REGISTERING:
        if name not in registry.get_domains():
            registry.register_domain(partial(make_world, domain), name)
    return name


def make_world(domain: str, solo_mode: bool = False) -> Any:
    """A fresh `tau2.environment.environment.Environment` of a domain, before any task. Its policy text is never solo's."""
    if domain in SHARED:
        world = constructor(domain)(db=_shared(domain).copy())
        world.tools.get_db_hash = partial(_hash_of, world.tools)
    else:
        world = constructor(domain)(**_telecom(_packed_telecom()))
        # tau2 would make every tool's schema to see that no names overlap, for 10 ms.
        world.solo_mode = solo_mode
    _guard(world)
    return world


def pack(world: Any, domain: str) -> bytes:
    """The databases of a world."""
    state = changes_of(world.tools.db) if domain in SHARED else (world.tools.db, world.user_tools.db)
    return pickle.dumps(state, protocol=5)


def unpack_into(world: Any, domain: str, packed: bytes) -> None:
    """Gives a world of the same domain the databases that were packed."""
    if domain in SHARED:
        world.tools.db = _shared(domain).with_changes(pickle.loads(packed))
    else:
        world.tools.db, world.user_tools.db = pickle.loads(packed)


def same_databases(world: Any, domain: str, packed: bytes) -> bool:
    """Whether a world's databases are equal to those that were packed."""
    if domain in SHARED:
        return equal(world.tools.db, _shared(domain).with_changes(pickle.loads(packed)))
    return (world.tools.db, world.user_tools.db) == pickle.loads(packed)


def constructor(domain: str) -> Callable[..., Any]:
    """tau2's own, which loads the databases anew."""
    return package_module("registry").registry.get_env_constructor(domain)


@cache
def _shared(domain: str) -> SharedDatabase:
    return SharedDatabase(constructor(domain)().tools.db)


@cache
def _packed_telecom() -> bytes:
    world = constructor("telecom")()
    return pickle.dumps((world.tools.db, world.user_tools.db), protocol=5)


def _telecom(packed: bytes) -> dict[str, Any]:
    return dict(zip(("db", "user_db"), pickle.loads(packed), strict=True))


def _hash_of(tools: Any) -> str:
    return database_hash(tools.db)


def _guard(world: Any) -> None:
    """Bounds what has no bound, and makes what is drawn at random repeatable: tau2's evaluator plays every call again and
    demands the same answer."""
    tools = world.tools
    if hasattr(tools, "calculate"):
        tools.calculate = _bounded(tools.calculate)
    if hasattr(tools, "cancel_reservation"):
        tools.cancel_reservation = _refunding(tools, tools.cancel_reservation)
    if hasattr(tools, "_apply_one_time_charge"):
        tools._apply_one_time_charge = _numbered(tools, tools._apply_one_time_charge)


def _bounded(calculate: Callable[[str], str]) -> Callable[[str], str]:
    @wraps(calculate)
    def bounded(expression: str) -> str:
        check_expression(expression)
        return calculate(expression)

    return bounded


def _refunding(tools: Any, cancel: Callable[[str], Any]) -> Callable[[str], Any]:
    @wraps(cancel)
    def refunding(reservation_id: Any) -> Any:
        if isinstance(reservation_id, str) and reservation_id in tools.db.reservations:  # a policy may write anything
            check_payments(tools.db.reservations[reservation_id].payment_history)
        return cancel(reservation_id)

    return refunding


def _numbered(tools: Any, charge: Callable[..., None]) -> Callable[..., None]:
    """A charge may make a bill, whose id tau2 draws at random and shows with the customer."""

    @wraps(charge)
    def numbered(*arguments: Any, **named: Any) -> None:
        known = len(tools.db.bills)
        charge(*arguments, **named)
        for place, bill in enumerate(tools.db.bills[known:], start=known):
            drawn, bill.bill_id = bill.bill_id, f"B{place:08x}"
            for customer in tools.db.customers:
                customer.bill_ids = [bill.bill_id if each == drawn else each for each in customer.bill_ids]

    return numbered
