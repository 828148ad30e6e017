"""The task families, one file an API class."""

from fission_grpo.tasks.draft import Family
from fission_grpo.tasks.families import (
    calculations,
    file_system,
    messages,
    requests,
    tickets,
    trading,
    travel,
    tweets,
    vehicle,
)

COMPACT_FAMILIES: tuple[Family, ...] = (
    *file_system.FAMILIES,
    *tickets.FAMILIES,
    *messages.FAMILIES,
    *tweets.FAMILIES,
    *trading.FAMILIES,
    *calculations.FAMILIES,
)
"""Closed: another family, or another order, would change the tasks of every seed."""

BENCHMARK_FAMILIES: tuple[Family, ...] = (
    *COMPACT_FAMILIES,
    *travel.FAMILIES,
    *vehicle.FAMILIES,
    *requests.FAMILIES,
)
"""What composed tasks are put together from."""
