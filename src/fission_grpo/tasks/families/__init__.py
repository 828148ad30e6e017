"""The task families, one file an API class."""

from fission_grpo.tasks.draft import Family
from fission_grpo.tasks.families import calculations, file_system, messages, tickets, trading, tweets

FAMILIES: tuple[Family, ...] = (
    *file_system.FAMILIES,
    *tickets.FAMILIES,
    *messages.FAMILIES,
    *tweets.FAMILIES,
    *trading.FAMILIES,
    *calculations.FAMILIES,
)
