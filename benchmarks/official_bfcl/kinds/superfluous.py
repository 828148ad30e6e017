"""Calls that the reference does not make, and the wrong call before the right one."""

from official_bfcl.calls import Call
from official_bfcl.kinds.values import HARMLESS, REFUSED, other_value
from official_bfcl.play import Entry, Kind, Play


def superfluous_call(play: Play) -> Entry:
    turn = play.busy_turn()
    entry = play.plain()
    harmless = [HARMLESS[name] for name in sorted(HARMLESS)]
    entry[turn].insert(play.choose(len(entry[turn]), "index"), play.say(harmless[play.choose(len(harmless), "call")]))
    return entry


def call_in_a_turn_without_reference(play: Play) -> Entry:
    """A call where the reference makes none: the next turn's, or one again that was made before."""
    idle = [turn for turn, calls in enumerate(play.turns) if not calls]
    entry, turn = play.plain(), idle[play.choose(len(idle), "turn")]
    entry[turn].insert(0, play.say(play.at(play.place())))
    return entry


def harmless_call_in_a_turn_without_reference(play: Play) -> Entry:
    idle = [turn for turn, calls in enumerate(play.turns) if not calls]
    entry, turn = play.plain(), idle[play.choose(len(idle), "turn")]
    entry[turn].insert(0, play.say(*HARMLESS.values()))
    return entry


def error_then_right(play: Play) -> Entry:
    place = play.place()
    call = play.at(place)
    return play.replaced(place, play.say(Call(call.name, {"zzq9": 1})), play.say(call))


def wrong_value_then_right(play: Play) -> Entry:
    place, wrong = play.changed_call(lambda call, name: call.changed(**{name: other_value(call.arguments[name])}))
    return play.replaced(place, play.say(wrong), play.say(play.at(place)))


def refused_then_right(play: Play) -> Entry:
    place = play.place()
    refused = Call(REFUSED[play.choose(len(REFUSED), "name")], {"pid": 1})
    return play.replaced(place, play.say(refused, play.at(place)))


KINDS: list[Kind] = [
    superfluous_call,
    call_in_a_turn_without_reference,
    harmless_call_in_a_turn_without_reference,
    error_then_right,
    wrong_value_then_right,
    refused_then_right,
]
