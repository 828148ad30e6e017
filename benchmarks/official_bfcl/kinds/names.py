"""Another name in the place of the tool's."""

from official_bfcl.calls import Call
from official_bfcl.kinds.values import REFUSED
from official_bfcl.play import Entry, Kind, Play


def refused_name(play: Play) -> Entry:
    place = play.place()
    name = REFUSED[play.choose(len(REFUSED), "name")]
    return play.replaced(place, play.say(Call(name, play.at(place).arguments)))


def unknown_tool(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, play.say(Call("zzq9_tool", play.at(place).arguments)))


def misspelt_tool(play: Play) -> Entry:
    place = play.place()
    call = play.at(place)
    name = [call.name + "s", call.name.upper(), call.name[1:], "_" + call.name][play.choose(4, "name")]
    return play.replaced(place, play.say(Call(name or "l", call.arguments)))


def private_or_foreign_name(play: Play) -> Entry:
    place = play.place()
    name = ["_load_scenario", "__init__", "len", "print", "json", "self"][play.choose(6, "name")]
    return play.replaced(place, play.say(Call(name, play.at(place).arguments)))


def dotted_tool(play: Play) -> Entry:
    place = play.place()
    call = play.at(place)
    name = ["{}.{}", "api.{1}", "os.kill.{1}", "functions.{1}"][play.choose(4, "name")].format(
        "GorillaFileSystem", call.name
    )
    return play.replaced(place, play.say(Call(name, call.arguments)))


KINDS: list[Kind] = [
    refused_name,
    unknown_tool,
    misspelt_tool,
    private_or_foreign_name,
    dotted_tool,
]
