"""The benchmark's four categories, made as bfcl-eval made them: out of what the user says in a `base` task.

`miss_func`: a tool that is needed for the first time is withheld. The turn that needs it has no reference; in an extra turn
the tool is there, and the reference of the turn before follows. `miss_param`: the user leaves a needed value out, and the
turn has no reference; in an extra turn the value is supplied. `long_context`: the same, in a state full of other things.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from fission_grpo.tasks.catalogue import ADDED_TOOLS_MESSAGE, tool_names
from fission_grpo.tasks.draft import DraftTurn

REPLACEABLE = frozenset(
    {"mv", "cp", "rmdir", "cat", "tail", "sort", "grep", "diff", "wc", "ls", "find"}  # by cp and rm, cat and echo, cat alone
    | {"close_ticket", "get_ticket"}  # edit_ticket sets a status, get_user_tickets shows everything
    | {"search_messages", "view_messages_sent", "get_message_stats"}  # by each other
    | {"get_tweet", "get_user_tweets", "search_tweets", "get_user_stats"}  # by each other
    | {"get_symbol_by_name", "get_nearest_airport_by_city", "get_zipcode_based_on_city"}  # by what everybody knows
    | {"filter_stocks_by_price", "notify_price_change", "get_watchlist"}  # by get_stock_info, add_to_watchlist
    | {"get_credit_card_balance", "get_booking_history", "retrieve_invoice"}  # by get_all_credit_cards, by each other
    | {"liter_to_gallon", "gallon_to_liter", "releaseBrakePedal"}  # by arithmetic, pressBrakePedal
    | {f"{prefix}_get_login_status" for prefix in ("ticket", "message", "posting", "trading", "travel")}  # by trying
)
"""Tools whose work another one can do, or nearly so: withholding them would not leave the user's request unserved."""

Request = tuple[int, int]
"""Number of the part, and number of its turn."""
Script = Mapping[Request, DraftTurn]


class Category(StrEnum):
    """The benchmark's categories."""

    BASE = "base"
    MISS_FUNC = "miss_func"
    MISS_PARAM = "miss_param"
    LONG_CONTEXT = "long_context"


@dataclass(frozen=True)
class Line:
    """One message of the user.

    Attributes:
        lead: what comes before the request itself, or empty.
        text: the request.
        aside: what comes after it, or empty.
        requests: whose calls are the reference; empty where nothing is to be called.
        new_tools: tools withheld until here.
    """

    text: str
    requests: tuple[Request, ...] = ()
    new_tools: tuple[str, ...] = ()
    lead: str = ""
    aside: str = ""

    @property
    def message(self) -> str:
        """All that the user says."""
        return " ".join(part for part in (self.lead, self.text, self.aside) if part)


def with_category(category: Category, lines: Sequence[Line], scripts: Sequence[Script], rng: Random) -> list[Line] | None:
    """The lines of the category, or None where these offer no place for it.

    Args:
        scripts: the turns with the hazards of the task, and with those of its mirror image: the lines serve both.
    """
    if category is Category.MISS_FUNC:
        return _withhold_tool(lines, scripts, rng)
    if category is Category.MISS_PARAM:
        return _leave_value_out(lines, scripts[0], rng)
    return list(lines)


def _withhold_tool(lines: Sequence[Line], scripts: Sequence[Script], rng: Random) -> list[Line] | None:
    places = list(_first_needs(lines, scripts))
    if not places:
        return None
    index, tool = rng.choice(places)
    line = lines[index]
    added = Line(ADDED_TOOLS_MESSAGE, line.requests, (tool,))
    return [*lines[:index], replace(line, requests=()), added, *lines[index + 1 :]]


def _first_needs(lines: Sequence[Line], scripts: Sequence[Script]) -> list[tuple[int, str]]:
    """Lines and tools that each of them is the first to need, whatever the hazards.

    Replaceable tools are left out, and all of MathAPI: one function can do the work of another (`sum_values` that of `add`).
    """
    places: list[tuple[int, str]] = []
    seen = {*tool_names("MathAPI"), *REPLACEABLE}
    for index, line in enumerate(lines):
        needed = [{call.name for request in line.requests for call in script[request].calls} for script in scripts]
        places += [(index, tool) for tool in sorted(set.intersection(*needed) - seen)]
        turns = [script[request] for script in scripts for request in line.requests]
        seen |= {call.name for turn in turns for call in turn.calls}
        seen |= {turn.careless.name for turn in turns if turn.careless is not None}
    return places


def _leave_value_out(lines: Sequence[Line], script: Script, rng: Random) -> list[Line] | None:
    places = [
        (index, unsaid)
        for index, line in enumerate(lines)
        if len(line.requests) == 1 and (unsaid := script[line.requests[0]].unsaid) is not None
    ]
    if not places:
        return None
    index, unsaid = rng.choice(places)
    line = lines[index]
    asked = replace(line, text=unsaid.text, requests=())
    return [*lines[:index], asked, Line(unsaid.answer, line.requests), *lines[index + 1 :]]
