"""Plain requests to MessageAPI."""

from fission_grpo.tasks.draft import Draft, Family, Scene, call
from fission_grpo.tasks.families.messages import API, new_user_id, workspace


def _write_to(scene: Scene) -> Draft:
    receiver, me, message = new_user_id(scene), new_user_id(scene), scene.names.phrase()
    says = (
        "I have to tell {receiver} something: '{message}'. Send it, please.",
        "Drop a message to {receiver} that reads '{message}'.",
        "Please get the words '{message}' to {receiver}.",
        "{receiver} is waiting for news; send '{message}'.",
    )
    left_out = (
        (
            "I have to tell {receiver} something. Send a message, please.",
            "Drop a message to {receiver}.",
            "Please get a message to {receiver}.",
            "{receiver} is waiting for news; send a message.",
        ),
        ("Write '{message}'.", "It should read '{message}'.", "The text is '{message}'.", "Just say '{message}'."),
    )
    config = workspace(scene, {scene.names.name(): receiver, scene.names.name(): me}, [], me)
    send = call("send_message", receiver_id=receiver, message=message)
    return Draft(config, (scene.ask(says, send, left_out=left_out, receiver=receiver, message=message),))


def _new_contact(scene: Scene) -> Draft:
    name, me = scene.names.name(), new_user_id(scene)
    says = (
        "There is a new colleague, {name}. Add them to the contacts.",
        "Enter {name} as a new contact in the workspace.",
        "Please save {name} in my list of contacts.",
        "We have somebody new, called {name}; make a contact of them.",
    )
    left_out = (
        (
            "There is a new colleague. Add them to the contacts.",
            "Enter a new contact in the workspace.",
            "Please save somebody in my list of contacts.",
            "We have somebody new; make a contact of them.",
        ),
        ("The name is {name}.", "They are called {name}.", "It is {name}.", "{name} is the name."),
    )
    config = workspace(scene, {scene.names.name(): me}, [], me)
    return Draft(config, (scene.ask(says, call("add_contact", user_name=name), left_out=left_out, name=name),))


def _list_users(scene: Scene) -> Draft:
    says = (
        "Who is in the workspace?",
        "List all users of the workspace.",
        "I want to know everybody that I can write to.",
        "Please show the names of all users.",
    )
    me = new_user_id(scene)
    config = workspace(scene, {scene.names.name(): me, scene.names.name(): new_user_id(scene)}, [], me)
    return Draft(config, (scene.ask(says, call("list_users")),))


def _sent(scene: Scene) -> Draft:
    says = (
        "What messages have I sent so far?",
        "Show me everything that I have sent.",
        "Let me see the messages that went out.",
        "Please display my sent messages.",
    )
    me, receiver = new_user_id(scene), new_user_id(scene)
    users = {scene.names.name(): me, scene.names.name(): receiver}
    config = workspace(scene, users, [{receiver: scene.names.phrase()}], me)
    return Draft(config, (scene.ask(says, call("view_messages_sent")),))


def _statistics(scene: Scene) -> Draft:
    says = (
        "How many messages are there, and to how many people?",
        "Give me the message statistics.",
        "I would like some figures about my messages.",
        "Please get the statistics of my mailbox.",
    )
    me, receiver = new_user_id(scene), new_user_id(scene)
    users = {scene.names.name(): me, scene.names.name(): receiver}
    config = workspace(scene, users, [{receiver: scene.names.phrase()}], me)
    return Draft(config, (scene.ask(says, call("get_message_stats")),))


def _session(scene: Scene) -> Draft:
    says = (
        "Is anybody logged in to the messages?",
        "Check if I am signed in for messaging.",
        "Do the messages have a user logged in?",
        "Please see whether the workspace has me signed in.",
    )
    me = new_user_id(scene)
    return Draft(workspace(scene, {scene.names.name(): me}, [], me), (scene.ask(says, call("message_get_login_status")),))


def _write_as(scene: Scene) -> Draft:
    sender, receiver, someone, message = new_user_id(scene), new_user_id(scene), new_user_id(scene), scene.names.phrase()
    says = (
        "Log in as {sender} and send '{message}' to {receiver}.",
        "As user {sender}, write '{message}' to {receiver}.",
        "Switch to the account {sender}, then message {receiver}: '{message}'.",
        "Sign {sender} in and let {receiver} know '{message}'.",
    )
    users = {scene.names.name(): user for user in (sender, receiver, someone)}
    calls = (call("message_login", user_id=sender), call("send_message", receiver_id=receiver, message=message))
    turn = scene.ask(says, *calls, sender=sender, receiver=receiver, message=message)
    return Draft(workspace(scene, users, [], someone), (turn,))


FAMILIES = (
    Family("write_to", API, _write_to),
    Family("new_contact", API, _new_contact),
    Family("list_users", API, _list_users),
    Family("sent_messages", API, _sent),
    Family("message_statistics", API, _statistics),
    Family("message_session", API, _session),
    Family("write_as", API, _write_as, owns=("current_user",)),
)
