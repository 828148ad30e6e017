"""TicketAPI: support tickets, their ids, and who is logged in."""

from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call


def ticket_entry(number: int, title: str, owner: str, status: str = "Open") -> dict[str, Any]:
    return {"id": number, "title": title, "description": "", "status": status, "priority": 1, "created_by": owner}


def desk(scene: Scene, tickets: list[dict[str, Any]], user: str | None) -> dict[str, Any]:
    """A ticket queue, whose next id is free."""
    return {"ticket_queue": tickets, "ticket_counter": scene.names.number(100, 199), "current_user": user}


def _create_ticket(scene: Scene) -> Draft:
    title, user, password = scene.names.phrase(), scene.names.name(), scene.names.name()
    priority = scene.rng.randint(2, 5)
    requests = (
        "Open a ticket '{title}' with priority {priority}.",
        "Create a priority {priority} ticket titled '{title}'.",
        "File a ticket: '{title}', priority {priority}.",
        "I need a ticket '{title}' of priority {priority}.",
        "Please add a ticket '{title}' at priority {priority}.",
        "Submit '{title}' as a ticket with priority {priority}.",
    )
    clauses = (
        "If nobody is logged in, use {user} with password {password}.",
        "Should no one be signed in, log in as {user}, password {password}.",
        "Only if no session is open: user {user}, password {password}.",
        "Without a session, sign in as {user} with {password}.",
        "In case nobody is signed in: {user} / {password}.",
        "If a login is asked for, it is {user} / {password}.",
    )
    text = scene.say(requests, clauses, title=title, priority=priority, user=user, password=password)
    someone = scene.names.name()
    config = desk(scene, [], None if scene.hazard else someone)
    create = call("create_ticket", title=title, priority=priority)
    login = call("ticket_login", username=user, password=password)
    return Draft(config, (scene.attempt(text, create, login, create),))


def _list_tickets(scene: Scene) -> Draft:
    title, user, password = scene.names.name(), scene.names.name(), scene.names.name()
    requests = (
        "List my tickets.",
        "Which tickets are mine?",
        "Show the tickets I made.",
        "I want to see my tickets.",
        "Please get all my tickets.",
        "What tickets do I have?",
    )
    clauses = (
        "If I am logged out, I am {user} with password {password}.",
        "My login, should you need it: {user} / {password}.",
        "Sign me in as {user}, password {password}, if needed.",
        "In case I am signed out: user {user}, password {password}.",
        "Log in as {user} with {password} if you have to.",
        "If it asks for a login, take {user} / {password}.",
    )
    text = scene.say(requests, clauses, user=user, password=password)
    tickets = [ticket_entry(scene.names.number(10, 99), title, user)]
    config = desk(scene, tickets, None if scene.hazard else user)
    listing = call("get_user_tickets")
    return Draft(config, (scene.attempt(text, listing, call("ticket_login", username=user, password=password), listing),))


def _close_or_next(scene: Scene) -> Draft:
    number, other, owner = scene.names.number(10, 99), scene.names.number(10, 99), scene.names.name()
    requests = (
        "Close ticket {number}.",
        "Ticket {number} is to be closed.",
        "Please close number {number}.",
        "Mark ticket {number} as closed.",
        "You can close ticket {number}.",
        "Shut ticket {number}.",
    )
    clauses = (
        "If it is closed already, close {other}.",
        "Should that be done already, take {other}.",
        "Or {other}, if that one is closed.",
        "If that has been closed before, {other} is next.",
        "In case it is closed, do {other} instead.",
        "When it is closed already, go on to {other}.",
    )
    text = scene.say(requests, clauses, number=number, other=other)
    status = "Closed" if scene.hazard else "Open"
    tickets = [ticket_entry(number, scene.names.name(), owner, status), ticket_entry(other, scene.names.name(), owner)]
    config = desk(scene, tickets, owner)
    return Draft(
        config, (scene.attempt(text, call("close_ticket", ticket_id=number), call("close_ticket", ticket_id=other)),)
    )


def _resolve_or_other(scene: Scene) -> Draft:
    number, other, owner = scene.names.number(10, 99), scene.names.number(10, 99), scene.names.name()
    resolution = scene.names.phrase()
    requests = (
        "Resolve ticket {number} with '{resolution}'.",
        "Ticket {number} is solved: '{resolution}'.",
        "Mark {number} resolved, saying '{resolution}'.",
        "Please resolve {number}; the resolution is '{resolution}'.",
        "Set ticket {number} to resolved: '{resolution}'.",
        "I solved {number} by '{resolution}'; resolve it.",
    )
    clauses = (
        "If there is no such ticket, I mean {other}.",
        "Should {number} not exist, it is {other}.",
        "The number may also be {other}.",
        "Or {other}, if there is no {number}.",
        "If that is not found, take {other}.",
        "In case it is missing, use {other}.",
    )
    text = scene.say(requests, clauses, number=number, other=other, resolution=resolution)
    tickets = [ticket_entry(other if scene.hazard else number, scene.names.name(), owner)]
    config = desk(scene, tickets, owner)
    first, second = (call("resolve_ticket", ticket_id=ticket, resolution=resolution) for ticket in (number, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _close_by_title(scene: Scene) -> Draft:
    number, title, user = scene.names.number(10, 99), scene.names.name(), scene.names.name()
    requests = (
        "Close my ticket '{title}'.",
        "My ticket about {title} can be closed.",
        "Please close the ticket titled {title}.",
        "The {title} ticket of mine is done; close it.",
        "Mark my ticket {title} as closed.",
        "I no longer need my ticket {title}; close it.",
    )
    text = scene.say(requests, title=title)
    config = desk(scene, [ticket_entry(number, title, user)], user)
    calls = (call("get_user_tickets"), call("close_ticket", ticket_id=number))
    return Draft(config, (DraftTurn(text, calls, careless=call("close_ticket", ticket_id=title)),))


def _edit_by_other_word(scene: Scene) -> Draft:
    number, owner = scene.names.number(10, 99), scene.names.name()
    word, field, value = scene.rng.choice(
        (
            ("urgency", "priority", scene.rng.randint(2, 5)),
            ("importance", "priority", scene.rng.randint(2, 5)),
            ("headline", "title", scene.names.name()),
            ("name", "title", scene.names.name()),
            ("text", "description", scene.names.name()),
            ("body", "description", scene.names.name()),
        )
    )
    requests = (
        "Change the {word} of ticket {number} to {value}.",
        "Set the {word} of ticket {number} to {value}.",
        "Ticket {number} should have the {word} {value}.",
        "Give ticket {number} {value} as its {word}.",
        "Please make {value} the {word} of ticket {number}.",
        "Update ticket {number}: {word} {value}.",
    )
    text = scene.say(requests, word=word, number=number, value=value)
    config = desk(scene, [ticket_entry(number, scene.names.name(), owner)], owner)
    right, wrong = (call("edit_ticket", ticket_id=number, updates={key: value}) for key in (field, word))
    return Draft(config, (DraftTurn(text, (right,), careless=wrong),))


def _look_up_then_close(scene: Scene) -> Draft:
    number, owner = scene.names.number(10, 99), scene.names.name()
    first = (
        "Show ticket {number}.",
        "What is ticket {number} about?",
        "Get ticket {number}.",
        "Please look up ticket {number}.",
        "I want to see ticket {number}.",
        "Pull up ticket {number}.",
    )
    then = (
        "Close it.",
        "Thanks, it can be closed.",
        "Good, now close it.",
        "Fine. Close that ticket.",
        "Please close it now.",
        "Done with it; close it.",
    )
    config = desk(scene, [ticket_entry(number, scene.names.name(), owner)], owner)
    opening = DraftTurn(scene.say(first, number=number), (call("get_ticket", ticket_id=number),))
    return Draft(config, (opening, DraftTurn(scene.say(then), (call("close_ticket", ticket_id=number),))))


API = "TicketAPI"
SESSION = ("current_user",)
FAMILIES = (
    Family("create_ticket", API, _create_ticket, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("list_tickets", API, _list_tickets, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("close_or_next", API, _close_or_next, Hazard.ALREADY_DONE, hidden=True),
    Family("resolve_or_other", API, _resolve_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("close_by_title", API, _close_by_title, Hazard.NAME_FOR_ID, owns=SESSION),
    Family("edit_by_other_word", API, _edit_by_other_word, Hazard.INVALID_FIELD),
    Family("look_up_then_close", API, _look_up_then_close),
)
