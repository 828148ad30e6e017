"""Turns and calls dropped, moved or repeated."""

from official_bfcl.play import CLOSING, Entry, Kind, Play


def dropped_call(play: Play) -> Entry:
    return play.replaced(play.place())


def dropped_last_call(play: Play) -> Entry:
    turn = play.busy_turn()
    return play.replaced((turn, len(play.turns[turn]) - 1))


def empty_turn(play: Play) -> Entry:
    entry, turn = play.plain(), play.busy_turn()
    entry[turn] = []
    return entry


def text_only_turn(play: Play) -> Entry:
    entry, turn = play.plain(), play.busy_turn()
    entry[turn] = ["Which one do you mean?"]
    return entry


def last_turn_missing(play: Play) -> Entry:
    return play.plain()[:-1]


def cut_after_a_turn(play: Play) -> Entry:
    return play.plain()[: play.choose(len(play.turns), "cut")]


def last_turn_cut(play: Play) -> Entry:
    entry = play.plain()
    entry[-1] = entry[-1][: play.choose(len(entry[-1]), "cut")]
    return entry


def forced_to_quit_in_the_last_turn(play: Play) -> Entry:
    """21 messages that all call, as the official step limit leaves them: the last turn is scored nevertheless."""
    entry, turn = play.plain(), len(play.turns) - 1
    calls = play.turns[turn] or [play.at(play.place())]
    entry[turn] = [*(play.say(call) for call in calls), *[play.say(calls[-1])] * 21][:21]
    return entry


def extra_turn(play: Play) -> Entry:
    return [*play.plain(), [CLOSING]]


def result_is_text(play: Play) -> Entry:
    return "Error during inference: 'name'"


def swapped_calls(play: Play) -> Entry:
    turns = [list(calls) for calls in play.turns]
    places = [(turn, index) for turn, calls in enumerate(turns) for index in range(len(calls) - 1)]
    turn, index = places[play.choose(len(places), "place")]
    turns[turn][index : index + 2] = reversed(turns[turn][index : index + 2])
    return play.written(turns)


def swapped_turns(play: Play) -> Entry:
    entry = play.plain()
    turn = play.choose(len(entry) - 1, "turn")
    entry[turn : turn + 2] = reversed(entry[turn : turn + 2])
    return entry


def duplicated_call(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, *[play.say(play.at(place))] * 2)


def duplicated_call_in_one_message(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(play.at(place), play.at(place)))


def call_a_turn_early(play: Play) -> Entry:
    turns = [list(calls) for calls in play.turns]
    later = [turn for turn in range(1, len(turns)) if turns[turn]]
    turn = later[play.choose(len(later), "turn")]
    turns[turn - 1].append(turns[turn].pop(0))
    return play.written(turns)


def call_a_turn_late(play: Play) -> Entry:
    turns = [list(calls) for calls in play.turns]
    earlier = [turn for turn in range(len(turns) - 1) if turns[turn]]
    turn = earlier[play.choose(len(earlier), "turn")]
    turns[turn + 1].insert(0, turns[turn].pop())
    return play.written(turns)


def one_message_a_turn(play: Play) -> Entry:
    return [[play.say(*calls), CLOSING] if calls else [CLOSING] for calls in play.turns]


def everything_in_the_first_turn(play: Play) -> Entry:
    return [[play.say(*(call for calls in play.turns for call in calls)), CLOSING], *[[CLOSING]] * (len(play.turns) - 1)]


KINDS: list[Kind] = [
    dropped_call,
    dropped_last_call,
    empty_turn,
    text_only_turn,
    last_turn_missing,
    cut_after_a_turn,
    last_turn_cut,
    forced_to_quit_in_the_last_turn,
    extra_turn,
    result_is_text,
    swapped_calls,
    swapped_turns,
    duplicated_call,
    duplicated_call_in_one_message,
    call_a_turn_early,
    call_a_turn_late,
    one_message_a_turn,
    everything_in_the_first_turn,
]
