"""Plain requests to TicketAPI."""

from fission_grpo.tasks.draft import LAST, Draft, Family, Scene, call
from fission_grpo.tasks.families.tickets import API, desk, ticket_entry


def _file_ticket(scene: Scene) -> Draft:
    title, priority = scene.names.phrase(), scene.rng.randint(2, 5)
    says = (
        "Raise a priority {priority} ticket with the title '{title}'.",
        "I want to report something: a ticket named '{title}', priority {priority}.",
        "Please get a ticket going under the title '{title}', with priority {priority}.",
        "We have a problem. Make it a ticket, '{title}', priority {priority}.",
    )
    left_out = (
        (
            "Raise a priority {priority} ticket for me.",
            "I want to report something: a ticket of priority {priority}.",
            "Please get a ticket going, with priority {priority}.",
            "We have a problem. Make it a ticket, priority {priority}.",
        ),
        (
            "The title should be '{title}'.",
            "Call it '{title}'.",
            "Give it the title '{title}', please.",
            "Let its title be '{title}'.",
        ),
    )
    turn = scene.ask(
        says, call("create_ticket", title=title, priority=priority), left_out=left_out, title=title, priority=priority
    )
    return Draft(desk(scene, [], scene.names.name()), (turn,))


def _view_ticket(scene: Scene) -> Draft:
    number, owner = scene.names.number(10, 99), scene.names.name()
    says = (
        "What do we know about ticket {number}?",
        "Give me the details of ticket {number}.",
        "Open ticket {number} so that I can read it.",
        "Please fetch the ticket with the number {number}.",
    )
    config = desk(scene, [ticket_entry(number, scene.names.phrase(), owner)], owner)
    return Draft(config, (scene.ask(says, call("get_ticket", ticket_id=number), number=number),))


def _solve(scene: Scene) -> Draft:
    number, owner, resolution = scene.names.number(10, 99), scene.names.name(), scene.names.phrase()
    says = (
        "Ticket {number} has been dealt with; resolve it with the note '{resolution}'.",
        "You can resolve ticket {number}: '{resolution}' was the answer.",
        "Please set {number} to resolved, with '{resolution}' as the resolution.",
    )
    left_out = (
        (
            "Ticket {number} has been dealt with; resolve it with a note.",
            "You can resolve ticket {number} and say how it was done.",
            "Please set {number} to resolved, with a resolution.",
        ),
        ("The note is '{resolution}'.", "Say '{resolution}'.", "'{resolution}' was the answer.", "Write '{resolution}'."),
    )
    config = desk(scene, [ticket_entry(number, scene.names.phrase(), owner)], owner)
    turn = scene.ask(
        says,
        call("resolve_ticket", ticket_id=number, resolution=resolution),
        left_out=left_out,
        number=number,
        resolution=resolution,
    )
    return Draft(config, (turn,))


def _describe(scene: Scene) -> Draft:
    number, owner, description = scene.names.number(10, 99), scene.names.name(), scene.names.phrase()
    says = (
        "Add the description '{description}' to ticket {number}.",
        "Ticket {number} lacks a description; put '{description}'.",
        "Please edit ticket {number} so that its description says '{description}'.",
    )
    left_out = (
        (
            "Add a description to ticket {number}.",
            "Ticket {number} lacks a description; put one in.",
            "Please edit the description of ticket {number}.",
        ),
        ("It should say '{description}'.", "Use '{description}' for it.", "The description is '{description}'."),
    )
    config = desk(scene, [ticket_entry(number, scene.names.phrase(), owner)], owner)
    edit = call("edit_ticket", ticket_id=number, updates={"description": description})
    turn = scene.ask(says, edit, left_out=left_out, number=number, description=description)
    return Draft(config, (turn,))


def _sign_out(scene: Scene) -> Draft:
    says = (
        "That was all for the tickets; log me out there.",
        "Please sign me out of the ticket system.",
        "I am done with tickets. Log out.",
        "End my session in the ticket system.",
    )
    return Draft(desk(scene, [], scene.names.name()), (scene.ask(says, call("logout")),))


def _session(scene: Scene) -> Draft:
    says = (
        "Am I logged in to the ticket system?",
        "Check whether somebody is signed in for tickets.",
        "Is there a session open in the ticket system?",
        "Please find out if the ticket system has me logged in.",
    )
    return Draft(desk(scene, [], scene.names.name()), (scene.ask(says, call("ticket_get_login_status")),))


def _my_open_tickets(scene: Scene) -> Draft:
    number, other, user = scene.names.number(10, 99), scene.names.number(10, 99), scene.names.name()
    says = (
        "Which of my tickets are still open?",
        "Show me those of my tickets that have the status Open.",
        "I need a list of my open tickets.",
        "Please get my tickets, only the open ones.",
    )
    tickets = [
        ticket_entry(number, scene.names.phrase(), user),
        ticket_entry(other, scene.names.phrase(), user, "Closed"),
    ]
    return Draft(desk(scene, tickets, user), (scene.ask(says, call("get_user_tickets", status="Open")),))


FAMILIES = (
    Family("file_ticket", API, _file_ticket),
    Family("view_ticket", API, _view_ticket),
    Family("solve_ticket", API, _solve),
    Family("describe_ticket", API, _describe),
    Family("ticket_sign_out", API, _sign_out, owns=("current_user", LAST)),
    Family("ticket_session", API, _session),
    Family("my_open_tickets", API, _my_open_tickets, owns=("current_user",)),
)
