"""Plain requests, one or two calls each, for composed tasks: most tools of the benchmark, and values that are left out.

A file an API class. Where a family gives `left_out`, its value can be withheld at first (the category `miss_param`).
"""

from fission_grpo.tasks.draft import Family
from fission_grpo.tasks.families.requests import (
    calculations,
    file_system,
    messages,
    tickets,
    trading,
    travel,
    tweets,
    vehicle,
)

FAMILIES: tuple[Family, ...] = (
    *file_system.FAMILIES,
    *tickets.FAMILIES,
    *messages.FAMILIES,
    *tweets.FAMILIES,
    *trading.FAMILIES,
    *calculations.FAMILIES,
    *travel.FAMILIES,
    *vehicle.FAMILIES,
)
