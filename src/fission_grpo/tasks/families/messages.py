"""MessageAPI: users, their ids, and messages between them."""

from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call

OR_OTHER_SENDER = (
    "If nobody is logged in, sign in as {sender}.",
    "Should no one be signed in, log in as {sender}.",
    "Without a session, use {sender}.",
    "In case a login is needed, take {sender}.",
    "Only if no one is logged in, sign in as {sender}.",
    "If it asks for a login, use {sender}.",
)


def new_user_id(scene: Scene) -> str:
    return f"USR{scene.names.number(100, 999)}"


def workspace(scene: Scene, users: dict[str, str], inbox: list[dict[str, str]], user: str | None) -> dict[str, Any]:
    return {
        "user_count": scene.names.number(10, 89),
        "user_map": users,
        "inbox": inbox,
        "message_count": len(inbox),
        "current_user": user,
        "random_seed": scene.rng.randint(1, 10**6),
    }


def _send_to_id(scene: Scene) -> Draft:
    receiver, sender, someone, message = new_user_id(scene), new_user_id(scene), new_user_id(scene), scene.names.phrase()
    requests = (
        "Send '{message}' to {receiver}.",
        "Tell {receiver}: '{message}'.",
        "Message {receiver} with '{message}'.",
        "Let {receiver} know '{message}'.",
        "Please write '{message}' to {receiver}.",
        "{receiver} should get the message '{message}'.",
    )
    text = scene.say(requests, OR_OTHER_SENDER, message=message, receiver=receiver, sender=sender)
    users = {scene.names.name(): user for user in (receiver, sender, someone)}
    config = workspace(scene, users, [], None if scene.hazard else someone)
    send = call("send_message", receiver_id=receiver, message=message)
    return Draft(config, (scene.attempt(text, send, call("message_login", user_id=sender), send),))


def _search(scene: Scene) -> Draft:
    receiver, sender, someone, keyword = new_user_id(scene), new_user_id(scene), new_user_id(scene), scene.names.name()
    requests = (
        "Search the messages for {keyword}.",
        "Which messages mention {keyword}?",
        "Find messages with {keyword} in them.",
        "Look for {keyword} in the messages.",
        "I want all messages that say {keyword}.",
        "Please search for messages about {keyword}.",
    )
    text = scene.say(requests, OR_OTHER_SENDER, keyword=keyword, sender=sender)
    users = {scene.names.name(): user for user in (receiver, sender, someone)}
    inbox = [{receiver: f"{keyword} {scene.names.name()}"}]
    config = workspace(scene, users, inbox, None if scene.hazard else someone)
    search = call("search_messages", keyword=keyword)
    return Draft(config, (scene.attempt(text, search, call("message_login", user_id=sender), search),))


def _delete_or_other(scene: Scene) -> Draft:
    receiver, other, me = new_user_id(scene), new_user_id(scene), new_user_id(scene)
    requests = (
        "Delete my last message to {receiver}.",
        "Remove what I last sent to {receiver}.",
        "Take back my latest message to {receiver}.",
        "My last message to {receiver} should be deleted.",
        "Please erase my newest message to {receiver}.",
        "Undo my last message to {receiver}.",
    )
    clauses = (
        "If there is none, the one to {other}.",
        "Should there be none, I mean {other}.",
        "Or to {other}, if I never wrote to them.",
        "It may have been {other}.",
        "If nothing is found, try {other}.",
        "In case there is none, take {other}.",
    )
    text = scene.say(requests, clauses, receiver=receiver, other=other)
    users = {scene.names.name(): user for user in (receiver, other, me)}
    inbox = [{other if scene.hazard else receiver: scene.names.phrase()}]
    config = workspace(scene, users, inbox, me)
    first, second = (call("delete_message", receiver_id=user) for user in (receiver, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _add_contact(scene: Scene) -> Draft:
    name, other, me = scene.names.name(), scene.names.name(), new_user_id(scene)
    requests = (
        "Add {name} as a contact.",
        "I want {name} in my contacts.",
        "Create a contact named {name}.",
        "Please add a user {name}.",
        "Make a new contact {name}.",
        "Put {name} on the contact list.",
    )
    clauses = (
        "If that name is taken, use {other}.",
        "Should it exist already, call it {other}.",
        "Or {other}, if the name is in use.",
        "If there is one by that name, take {other}.",
        "In case it is taken, {other} will do.",
        "If it exists, choose {other}.",
    )
    text = scene.say(requests, clauses, name=name, other=other)
    config = workspace(
        scene, {scene.names.name(): me, name if scene.hazard else scene.names.name(): new_user_id(scene)}, [], me
    )
    return Draft(config, (scene.attempt(text, call("add_contact", user_name=name), call("add_contact", user_name=other)),))


def _find_user(scene: Scene) -> Draft:
    name, other, me = scene.names.name(), scene.names.name(), new_user_id(scene)
    requests = (
        "What is the id of {name}?",
        "Give me the user id of {name}.",
        "Look up the id of {name}.",
        "I need {name}'s id.",
        "Please find the user id for {name}.",
        "Which id does {name} have?",
    )
    clauses = (
        "The name may be {other} here.",
        "If there is no such user, try {other}.",
        "Should that fail, look for {other}.",
        "Or of {other}, if nobody is called that.",
        "If the name is unknown, use {other}.",
        "They might also go by {other}.",
    )
    text = scene.say(requests, clauses, name=name, other=other)
    config = workspace(scene, {scene.names.name(): me, other if scene.hazard else name: new_user_id(scene)}, [], me)
    return Draft(config, (scene.attempt(text, call("get_user_id", user=name), call("get_user_id", user=other)),))


def _send_to_name(scene: Scene) -> Draft:
    name, receiver, me, message = scene.names.name(), new_user_id(scene), new_user_id(scene), scene.names.phrase()
    requests = (
        "Send '{message}' to {name}.",
        "Tell {name}: '{message}'.",
        "Message {name} with '{message}'.",
        "Let {name} know '{message}'.",
        "Please write '{message}' to {name}.",
        "{name} should get the message '{message}'.",
    )
    text = scene.say(requests, message=message, name=name)
    config = workspace(scene, {name: receiver, scene.names.name(): me}, [], me)
    calls = (call("get_user_id", user=name), call("send_message", receiver_id=receiver, message=message))
    careless = call("send_message", receiver_id=name, message=message)
    return Draft(config, (DraftTurn(text, calls, careless=careless),))


def _send_to_name_signed_out(scene: Scene) -> Draft:
    name, receiver, message = scene.names.name(), new_user_id(scene), scene.names.phrase()
    sender, someone = new_user_id(scene), new_user_id(scene)
    requests = (
        "Send '{message}' to {name}.",
        "Tell {name}: '{message}'.",
        "Message {name} with '{message}'.",
        "Let {name} know '{message}'.",
        "Please write '{message}' to {name}.",
        "{name} should get the message '{message}'.",
    )
    text = scene.say(requests, OR_OTHER_SENDER, message=message, name=name, sender=sender)
    users = {name: receiver, scene.names.name(): sender, scene.names.name(): someone}
    config = workspace(scene, users, [], None if scene.hazard else someone)
    send = call("send_message", receiver_id=receiver, message=message)
    lookup, login = call("get_user_id", user=name), call("message_login", user_id=sender)
    return Draft(config, (scene.attempt(text, send, login, send, before=(lookup,)),))


def _send_then_delete(scene: Scene) -> Draft:
    receiver, me, message = new_user_id(scene), new_user_id(scene), scene.names.phrase()
    first = (
        "Send '{message}' to {receiver}.",
        "Tell {receiver}: '{message}'.",
        "Message {receiver} with '{message}'.",
        "Let {receiver} know '{message}'.",
        "Please write '{message}' to {receiver}.",
        "Drop {receiver} a line: '{message}'.",
    )
    then = (
        "Sorry, delete that message.",
        "On second thought, remove it.",
        "I changed my mind; delete it.",
        "Please take that message back.",
        "Oh no, wrong one. Delete it.",
        "Erase it again, please.",
    )
    config = workspace(scene, {scene.names.name(): receiver, scene.names.name(): me}, [{me: scene.names.name()}], me)
    sending = call("send_message", receiver_id=receiver, message=message)
    opening = DraftTurn(scene.say(first, message=message, receiver=receiver), (sending,))
    return Draft(config, (opening, DraftTurn(scene.say(then), (call("delete_message", receiver_id=receiver),))))


API = "MessageAPI"
SESSION = ("current_user",)
FAMILIES = (
    Family("send_to_id", API, _send_to_id, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("send_to_name_signed_out", API, _send_to_name_signed_out, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("search_messages", API, _search, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("delete_or_other", API, _delete_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("add_contact", API, _add_contact, Hazard.NAME_TAKEN, hidden=True),
    Family("find_user", API, _find_user, Hazard.UNKNOWN_ID, hidden=True),
    Family("send_to_name", API, _send_to_name, Hazard.NAME_FOR_ID),
    Family("send_then_delete", API, _send_then_delete),
)
