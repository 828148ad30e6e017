"""Arguments missing, superfluous, renamed or with another value."""

import math
from typing import Any

from official_bfcl.calls import Call, to_json
from official_bfcl.kinds.values import other_value
from official_bfcl.play import Entry, Kind, Play


def value_changed(play: Play) -> Entry:
    place, call = play.changed_call(lambda call, name: call.changed(**{name: other_value(call.arguments[name])}))
    return play.replaced(place, play.say(call))


def value_of_a_wrong_type(play: Play) -> Entry:
    """A number as text, a text in a list, a list as text."""

    def wrong(value: Any) -> Any:
        return [value] if isinstance(value, str) else str(value)

    place, call = play.changed_call(lambda call, name: call.changed(**{name: wrong(call.arguments[name])}))
    return play.replaced(place, play.say(call))


def whole_number_as_float(play: Play) -> Entry:
    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and value == math.floor(value)

    def other(value: Any) -> Any:
        return float(value) if isinstance(value, int) else int(value)

    place, call = play.changed_call(lambda call, name: call.changed(**{name: other(call.arguments[name])}), is_number)
    return play.replaced(place, play.say(call))


def value_none(play: Play) -> Entry:
    place, call = play.changed_call(lambda call, name: call.changed(**{name: None}))
    return play.replaced(place, play.say(call))


def unknown_argument(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(play.at(place).changed(zzq9=1)))


def missing_argument(play: Play) -> Entry:
    place, call = play.changed_call(lambda call, name: call.without(name))
    return play.replaced(place, play.say(call))


def no_arguments(play: Play) -> Entry:
    place = play.place(lambda call: bool(call.arguments))
    return play.replaced(place, play.say(Call(play.at(place).name, {})))


def renamed_argument(play: Play) -> Entry:
    place, call = play.changed_call(lambda call, name: call.without(name).changed(**{"my_" + name: call.arguments[name]}))
    return play.replaced(place, play.say(call))


def arguments_in_another_order(play: Play) -> Entry:
    place = play.place(lambda call: len(call.arguments) > 1)
    call = play.at(place)
    return play.replaced(place, play.say(Call(call.name, dict(reversed([*call.arguments.items()])))))


def duplicate_argument(play: Play) -> Entry:
    """The same name twice, first with a wrong value: both official decoders keep the last."""
    place, wrong = play.changed_call(lambda call, name: Call(call.name, {name: other_value(call.arguments[name])}))
    text = play.say(play.at(place))
    if play.style == "qwen-fc":
        first = to_json(dict(wrong.arguments))[1:-1]
        return play.replaced(place, text.replace('"arguments": {', f'"arguments": {{{first}, ', 1))
    first = ", ".join(f"{name}={value!r}" for name, value in wrong.arguments.items())
    return play.replaced(place, text.replace("(", f"({first}, ", 1))


KINDS: list[Kind] = [
    value_changed,
    value_of_a_wrong_type,
    whole_number_as_float,
    value_none,
    unknown_argument,
    missing_argument,
    no_arguments,
    renamed_argument,
    arguments_in_another_order,
    duplicate_argument,
]
