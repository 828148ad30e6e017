"""The message around the call."""

from official_bfcl.calls import tagged
from official_bfcl.play import Entry, Kind, Play


def malformed(play: Play) -> Entry:
    place = play.place()
    text = play.say(play.at(place))
    breakable = ['"name"', '"arguments"', ": ", "}\n"] if play.style == "qwen-fc" else ["(", ")"]
    return play.replaced(place, text.replace(breakable[play.choose(len(breakable), "broken")], "", 1))


def malformed_then_right(play: Play) -> Entry:
    place = play.place()
    text = play.say(play.at(place))
    return play.replaced(place, text.replace('"' if play.style == "qwen-fc" else ")", "", 1), text)


def malformed_beside_right(play: Play) -> Entry:
    place = play.place()
    text = play.say(play.at(place))
    broken = tagged('{"name": "ls", "arguments": {') if play.style == "qwen-fc" else "[ls(a=)]"
    return play.replaced(place, f"{broken}\n{text}")


def text_around(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"I do that now.\n{play.say(play.at(place))}\nThat is all.")


def whitespace_around(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"\n\n {play.say(play.at(place))} \n\n")


def thinking_before(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"<think>\nFirst this.\n</think>\n\n{play.say(play.at(place))}")


def inside_thinking(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"<think>\n{play.say(play.at(place))}\n</think>\n\nDone.")


def the_other_style(play: Play) -> Entry:
    place = play.place()
    other = Play(play.turns, "prompting" if play.style == "qwen-fc" else "qwen-fc", play.key)
    return play.replaced(place, other.say(play.at(place)))


KINDS: list[Kind] = [
    malformed,
    malformed_then_right,
    malformed_beside_right,
    text_around,
    whitespace_around,
    thinking_before,
    inside_thinking,
    the_other_style,
]
