"""What corruptions put in the place of the right thing."""

from typing import Any

from official_bfcl.calls import Call

# A call of each class that needs no argument and changes nothing. MathAPI has none, so it is asked for a sum.
HARMLESS = {
    "GorillaFileSystem": Call("pwd", {}),
    "MathAPI": Call("add", {"a": 1, "b": 2}),
    "MessageAPI": Call("list_users", {}),
    "TwitterAPI": Call("posting_get_login_status", {}),
    "TicketAPI": Call("ticket_get_login_status", {}),
    "TradingBot": Call("get_watchlist", {}),
    "TravelAPI": Call("list_all_airports", {}),
    "VehicleControlAPI": Call("check_tire_pressure", {}),
}

REFUSED = ["kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"]
"""Names that the official executor refuses to evaluate."""

RICH = "é \"double\" 'single' \\ back\n\tnext line, 日本 😀"


def other_value(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return value[:-1] if value else ["x"]
        case _:
            return {"x": 1}
