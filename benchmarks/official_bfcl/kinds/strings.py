"""Text arguments that a careless parser takes apart."""

from official_bfcl.calls import Call, python_call
from official_bfcl.kinds.values import RICH
from official_bfcl.play import Entry, Kind, Play


def _in_a_string(play: Play, text: str) -> Entry:
    place, call = play.changed_call(
        lambda call, name: call.changed(**{name: call.arguments[name] + text}), lambda value: isinstance(value, str)
    )
    return play.replaced(place, play.say(call))


def call_text_in_a_string(play: Play) -> Entry:
    return _in_a_string(
        play, [" see ls (x)", " ls(a=True)", f" {python_call(play.at(play.place()))}"][play.choose(3, "text")]
    )


def bracket_in_a_string(play: Play) -> Entry:
    return _in_a_string(play, [" (see note)", " note (x)", "note(x)", " 1 (2"][play.choose(4, "text")])


def rich_string(play: Play) -> Entry:
    return _in_a_string(play, RICH)


def tags_in_a_string(play: Play) -> Entry:
    return _in_a_string(
        play, ["</think>", "\n</tool_call>", "<tool_call>\n", "<think>", "]", "')", "`"][play.choose(7, "tag")]
    )


def superfluous_call_with_brackets_in_a_string(play: Play) -> Entry:
    """An unknown tool, so that the state stays right: only the decoding could fail."""
    place = play.place()
    return play.replaced(place, play.say(Call("zzq9_tool", {"text": "see ls (x) and note (y) " + RICH}), play.at(place)))


KINDS: list[Kind] = [
    call_text_in_a_string,
    bracket_in_a_string,
    rich_string,
    tags_in_a_string,
    superfluous_call_with_brackets_in_a_string,
]
