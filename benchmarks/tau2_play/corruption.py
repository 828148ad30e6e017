"""Scripts made wrong in every way in which an agent goes wrong, chosen at random but the same every time."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from fission_grpo.types import ToolCall
from tau2_play.scripts import Said, Script

Corrupt = Callable[[list[Said], Sequence[ToolCall], random.Random], list[Said]]
"""From a script, calls of other tasks of the domain, and a source of randomness: a script that is wrong somewhere."""

UNKNOWN = ToolCall("look_into_the_future", {"days": 3})
QUESTION = Said("Could you tell me more about it?")


def corrupted(script: Script, kind: str, others: Sequence[ToolCall], seed: object) -> Script:
    """A script with one kind of corruption; the same for the same seed."""
    return tuple(KINDS[kind](list(script), others, random.Random(f"{kind}/{seed}")))


def _place(script: list[Said], draw: random.Random) -> int | None:
    """A message with calls, drawn at random; None where there is none."""
    places = [place for place, said in enumerate(script) if said.calls]
    return draw.choice(places) if places else None


def _changed(change: Callable[[dict[str, Any], random.Random], dict[str, Any]]) -> Corrupt:
    """Changes the arguments of one call."""

    def corrupt(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
        place = _place(script, draw)
        if place is None:
            return [*script[:-1], Said(calls=(draw.choice(others),)), script[-1]]
        call, *rest = script[place].calls
        wrong = ToolCall(call.name, change(dict(call.arguments), draw))
        return [*script[:place], Said(script[place].text, (wrong, *rest)), *script[place + 1 :]]

    return corrupt


def _other_value(arguments: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    for name in draw.sample(sorted(arguments), len(arguments)):
        value = arguments[name]
        return arguments | {name: f"{value}0" if isinstance(value, str) else value * 2 if value else 7}
    return {"surplus": 1}


def _other_type(arguments: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    for name in draw.sample(sorted(arguments), len(arguments)):
        return arguments | {name: draw.choice([None, 3, ["a"], {"a": 1}, True, "text"])}
    return {"surplus": None}


def _without_one(arguments: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    gone = draw.choice(sorted(arguments)) if arguments else ""
    return {name: value for name, value in arguments.items() if name != gone}


def _surplus(arguments: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    return arguments | {draw.choice(["note", "requestor", "tool_name", "self"]): "x"}


def _inserted(*said: Said) -> Corrupt:
    def corrupt(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
        place = draw.randrange(len(script))
        return [*script[:place], *said, *script[place:]]

    return corrupt


def _drop(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    place = _place(script, draw)
    return script if place is None else [*script[:place], *script[place + 1 :]]


def _repeat(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    place = _place(script, draw)
    return script if place is None else [*script[:place], script[place], *script[place:]]


def _shuffle(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    return [*draw.sample(script[:-1], len(script) - 1), script[-1]]


def _merge(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    """All calls in one message."""
    calls = tuple(call for said in script[:-1] for call in said.calls)
    return [*([Said(calls=calls)] if calls else []), script[-1]]


def _talk(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    """Words beside the calls, which tau2 counts as said."""
    return [Said(said.text or "I look into that.", said.calls) for said in script]


def _foreign(script: list[Said], others: Sequence[ToolCall], draw: random.Random) -> list[Said]:
    place = draw.randrange(len(script))
    return [*script[:place], Said(calls=tuple(draw.sample(list(others), 2))), *script[place:]]


KINDS: dict[str, Corrupt] = {
    "none": lambda script, others, draw: script,
    "wrong value": _changed(_other_value),
    "wrong type": _changed(_other_type),
    "missing argument": _changed(_without_one),
    "surplus argument": _changed(_surplus),
    "unknown tool": _inserted(Said(calls=(UNKNOWN,))),
    "calculation": _inserted(Said(calls=(ToolCall("calculate", {"expression": "(7 + 3.5) * 2**10 / 3"}),))),
    "dropped call": _drop,
    "repeated call": _repeat,
    "shuffled": _shuffle,
    "merged": _merge,
    "words with calls": _talk,
    "calls of another task": _foreign,
    "too many errors": _inserted(*[Said(calls=(UNKNOWN,))] * 11),
    "many questions": _inserted(*[QUESTION] * 25),
    "too many steps": _inserted(*[Said(calls=(UNKNOWN, UNKNOWN))] * 3, *[QUESTION] * 8),
    "transfer": _inserted(Said("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.")),
}

MAX_STEPS = {"too many steps": 12}
"""tau2's limit of steps where it is not the published one."""
