"""What only a JSON message can get wrong."""

from collections.abc import Callable
from typing import Any

from official_bfcl.calls import Call, tagged, to_json
from official_bfcl.play import Entry, Kind, Play


def _rewritten(play: Play, text: Callable[[Call], str]) -> Entry:
    """One call as another text inside the tags."""
    place = play.place()
    return play.replaced(place, tagged(text(play.at(place))))


def _with_arguments(play: Play, arguments: Callable[[Call], Any]) -> Entry:
    return _rewritten(play, lambda call: to_json({"name": call.name, "arguments": arguments(call)}))


def arguments_as_string(play: Play) -> Entry:
    return _with_arguments(play, lambda call: to_json(dict(call.arguments)))


def arguments_as_text(play: Play) -> Entry:
    return _with_arguments(play, lambda call: ", ".join(call.arguments))


def arguments_as_list(play: Play) -> Entry:
    return _with_arguments(play, lambda call: list(call.arguments.values()))


def arguments_null(play: Play) -> Entry:
    return _with_arguments(play, lambda call: None)


def arguments_key_missing(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json({"name": call.name}))


def arguments_under_another_key(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json({"name": call.name, "parameters": dict(call.arguments)}))


def name_key_missing(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json({"arguments": dict(call.arguments)}))


def name_null(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json({"name": None, "arguments": dict(call.arguments)}))


def bad_call_beside_good(play: Play) -> Entry:
    """A call without arguments beside the right one: the decoder drops the whole message."""
    place = play.place()
    bad = tagged(to_json({"name": "ls"}))
    return play.replaced(place, f"{bad}\n{play.say(play.at(place))}")


def no_object_beside_good(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"{tagged('17')}\n{play.say(play.at(place))}")


def list_of_calls_in_one_tag(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json([{"name": call.name, "arguments": dict(call.arguments)}]))


def two_objects_in_one_tag(play: Play) -> Entry:
    return _rewritten(play, lambda call: "\n".join([to_json({"name": call.name, "arguments": dict(call.arguments)})] * 2))


def function_as_in_the_openai_api(play: Play) -> Entry:
    return _rewritten(
        play,
        lambda call: to_json(
            {"type": "function", "function": {"name": call.name, "arguments": to_json(dict(call.arguments))}}
        ),
    )


def further_keys(play: Play) -> Entry:
    return _rewritten(play, lambda call: to_json({"id": 7, "arguments": dict(call.arguments), "name": call.name}))


def indented_json(play: Play) -> Entry:
    return _rewritten(play, lambda call: f'{{\n  "name": "{call.name}",\n  "arguments": {to_json(dict(call.arguments))}\n}}')


def escaped_unicode(play: Play) -> Entry:
    return _rewritten(
        play, lambda call: to_json({"name": call.name, "arguments": dict(call.arguments)}).replace("a", "\\u0061")
    )


def not_a_number(play: Play) -> Entry:
    """NaN and the infinities are read as JSON, but name nothing where the call is evaluated."""
    constant = ["NaN", "Infinity", "-Infinity"][play.choose(3, "constant")]
    place, call = play.changed_call(lambda call, name: call.changed(**{name: "CONSTANT"}))
    return play.replaced(place, play.say(call).replace('"CONSTANT"', constant))


def number_as_exponent(play: Play) -> Entry:
    place, call = play.changed_call(
        lambda call, name: call.changed(**{name: f"NUMBER{call.arguments[name]}e0NUMBER"}),
        lambda value: isinstance(value, int) and not isinstance(value, bool),
    )
    return play.replaced(place, play.say(call).replace('"NUMBER', "").replace('NUMBER"', ""))


def argument_name_no_identifier(play: Play) -> Entry:
    name = ["file name", "file-name", "1st", "", "class", "é à", "a.b"][play.choose(7, "name")]
    place = play.place()
    return play.replaced(place, play.say(play.at(place).changed(**{name: 1})))


def argument_name_that_holds_another_argument(play: Play) -> Entry:
    """The official decoder pastes names into a call text: one name may smuggle in a whole argument."""
    place = play.place(lambda call: len(call.arguments) > 1)
    call = play.at(place)
    (first, value), (second, other), *rest = call.arguments.items()
    return play.replaced(place, play.say(Call(call.name, {f"{first}={value!r}, {second}": other, **dict(rest)})))


def tool_name_with_space(play: Play) -> Entry:
    place = play.place()
    call = play.at(place)
    return play.replaced(place, play.say(Call(call.name + " ", call.arguments)))


def no_newline_in_the_tags(play: Play) -> Entry:
    place = play.place()
    text = play.say(play.at(place))
    return play.replaced(place, text.replace("<tool_call>\n", "<tool_call>").replace("\n</tool_call>", "</tool_call>"))


def tag_never_closed(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(play.at(place)).removesuffix("\n</tool_call>"))


def first_tag_never_closed(play: Play) -> Entry:
    """The expression runs on to the next closing tag, and the text between is no JSON: both calls are lost."""
    turns = [turn for turn, calls in enumerate(play.turns) if len(calls) > 1]
    turn = turns[play.choose(len(turns), "turn")]
    first, second = (play.say(call) for call in play.turns[turn][:2])
    entry = play.plain()
    entry[turn][:2] = [f"{first.removesuffix(chr(10) + '</tool_call>')}\n{second}"]
    return entry


def carriage_returns(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(play.at(place)).replace("\n", "\r\n"))


def tags_without_text_between(play: Play) -> Entry:
    turns = [turn for turn, calls in enumerate(play.turns) if len(calls) > 1]
    turn = turns[play.choose(len(turns), "turn")]
    entry = play.plain()
    entry[turn][:2] = ["".join(play.say(call) for call in play.turns[turn][:2])]
    return entry


def nested_objects(play: Play) -> Entry:
    """An object in the place of a text."""
    place, call = play.changed_call(
        lambda call, name: call.changed(**{name: {"value": [call.arguments[name], {"deep": None}]}}),
        lambda value: isinstance(value, str),
    )
    return play.replaced(place, play.say(call))


def trailing_comma(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(play.at(place)).replace("}}\n", "},}\n"))


KINDS: list[Kind] = [
    arguments_as_string,
    arguments_as_text,
    arguments_as_list,
    arguments_null,
    arguments_key_missing,
    arguments_under_another_key,
    name_key_missing,
    name_null,
    bad_call_beside_good,
    no_object_beside_good,
    list_of_calls_in_one_tag,
    two_objects_in_one_tag,
    function_as_in_the_openai_api,
    further_keys,
    indented_json,
    escaped_unicode,
    not_a_number,
    number_as_exponent,
    argument_name_no_identifier,
    argument_name_that_holds_another_argument,
    tool_name_with_space,
    no_newline_in_the_tags,
    tag_never_closed,
    first_tag_never_closed,
    carriage_returns,
    tags_without_text_between,
    nested_objects,
    trailing_comma,
]
