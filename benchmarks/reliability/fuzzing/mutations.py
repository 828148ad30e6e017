"""Mutations of real calls and messages: of the arguments as values, and of the text that they are written in."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fission_grpo.chat.parsing import render_calls
from fission_grpo.types import ToolCall

from .hostile_values import BIDI, CONTROL_TOKENS, DUNDERS, ESCAPES, EXPRESSIONS, HOMOGLYPHS, VALUES

Mutated = tuple[str, list[ToolCall]]
"""The kind of mutation, and the calls."""
MANY = (*[2] * 4, *[20] * 4, 120, 200, 2_000)
"""How often a call is repeated in one message."""


def mutated_calls(rng: random.Random, seeds: Sequence[ToolCall]) -> Mutated:
    """One to three real calls, one of them mutated; one time in sixteen all as they were."""
    calls = [rng.choice(seeds) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    place = rng.randrange(len(calls))
    if rng.random() < 1 / 16:
        return "none", calls
    kind, calls[place : place + 1] = _mutated(rng, calls[place])
    return kind, calls


def mutated_call(rng: random.Random, seeds: Sequence[ToolCall]) -> tuple[str, ToolCall]:
    """One real call, mutated as one."""
    kind, calls = _mutated(rng, rng.choice(seeds)) if rng.random() > 1 / 16 else ("none", [rng.choice(seeds)])
    return kind, calls[0]


def _mutated(rng: random.Random, call: ToolCall) -> Mutated:
    draw = rng.random()
    if draw < 0.7:
        kind = rng.choice(list(VALUES))
        return kind, [_with_value(rng, call, VALUES[kind](rng))]
    if draw < 0.78:
        return "unknown name", [ToolCall(_name(rng, call.name), call.arguments)]
    if draw < 0.86 and call.arguments:
        left_out = rng.choice(list(call.arguments))
        return "missing argument", [ToolCall(call.name, {k: v for k, v in call.arguments.items() if k != left_out})]
    if draw < 0.97:
        name = str(VALUES[rng.choice(("dunder", "random text", "invisible character", "markup"))](rng))
        return "extra argument", [ToolCall(call.name, {**call.arguments, name: rng.choice((1, "x", None))})]
    return "many calls", [call] * rng.choice(MANY)


def _with_value(rng: random.Random, call: ToolCall, value: Any) -> ToolCall:
    name = rng.choice(list(call.arguments)) if call.arguments else "x"
    if rng.random() < 0.1:  # inside a list or an object, where the schema may not look
        value = rng.choice(([value], {"a": value}, [1, value, "x"]))
    return ToolCall(call.name, {**call.arguments, name: value})


def _name(rng: random.Random, name: str) -> str:
    return rng.choice(
        (
            *(name.translate(HOMOGLYPHS), name.upper(), f"{name}.{name}", f"_{name}", f"{name}{rng.choice(BIDI)}", ""),
            *(rng.choice(DUNDERS), rng.choice(EXPRESSIONS), f"{name}\n{name}", name * 2_000, f"{name}{rng.choice(ESCAPES)}"),
        )
    )


def hermes(calls: Sequence[ToolCall]) -> str:
    """The canonical text of calls, whatever their values."""
    try:
        return render_calls(calls)
    except (ValueError, RecursionError):
        return f"<tool_call>\n{_shown(calls)[:100_000]}\n</tool_call>"


def python(calls: Sequence[ToolCall]) -> str:
    """Calls as bfcl-eval writes them: `mv(source='a', destination='b')`."""
    return ", ".join(map(_python_call, calls))


def _python_call(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{name}={_shown(value)}' for name, value in call.arguments.items())})"


def shown(value: Any) -> str:
    """A value as text, as far as Python can write it."""
    if isinstance(value, str):
        return value
    return _shown(value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return "'?'"


def openai(calls: Sequence[ToolCall]) -> str:
    """Calls as other models write them, which this parser does not read."""
    listed = [{"name": call.name, "parameters": call.arguments} for call in calls]
    try:
        return json.dumps(listed if len(listed) > 1 else listed[0], default=str)
    except RecursionError:
        return json.dumps({"name": calls[0].name})


FORMATS: Mapping[str, Callable[[Sequence[ToolCall]], str]] = {"hermes": hermes, "python": python, "openai": openai}
_PIECES = (
    *("<tool_call>", "</tool_call>", "<think>", "</think>", *"\"\\{}[]\n:,'()="),
    *("NaN", "Infinity", "-Infinity", "null", "\\ud800", "\\u0000", '{"name": "a", "name": "b"}', '"arguments": {}', "//"),
    *(*CONTROL_TOKENS, *ESCAPES, *BIDI, "\ud800", "1e999", "9" * 5_000, "[" * 40, '{"a":' * 40),
)


def mutated_text(rng: random.Random, text: str, others: Sequence[str]) -> tuple[str, str]:
    """A text cut, spliced, repeated or with pieces put in. `others` are texts to splice with."""
    kind = rng.choice(list(_TEXT))
    return kind, _TEXT[kind](rng, text, others)


def _cut(rng: random.Random, text: str, _: Sequence[str]) -> str:
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:start] + text[end:]


def _splice(rng: random.Random, text: str, others: Sequence[str]) -> str:
    other = rng.choice(others)
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def _insert(rng: random.Random, text: str, _: Sequence[str]) -> str:
    for _again in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(_PIECES) + text[place:]
    return text


def _repeat(rng: random.Random, text: str, _: Sequence[str]) -> str:
    start = rng.randrange(len(text) + 1)
    piece = text[start : start + rng.choice((1, 5, 20, len(text)))]
    times = rng.choice((2, 2, 2, 10, 10, 300)) if len(text) < 2_000 else 2
    return (text[:start] + piece * times + text[start:])[:120_000]


def _change(rng: random.Random, text: str, _: Sequence[str]) -> str:
    characters = list(text)
    for _again in range(min(len(characters), rng.choice((1, 2, 8)))):
        characters[rng.randrange(len(characters))] = chr(rng.choice((rng.randrange(128), rng.randrange(0x10FFFF))))
    return "".join(characters)


def _reverse(rng: random.Random, text: str, _: Sequence[str]) -> str:
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:start] + text[start:end][::-1] + text[end:]


_TEXT: Mapping[str, Callable[[random.Random, str, Sequence[str]], str]] = {
    "text cut": _cut,
    "text spliced": _splice,
    "piece put in": _insert,
    "piece repeated": _repeat,
    "characters changed": _change,
    "text reversed": _reverse,
    "text kept": lambda _rng, text, _others: text,
}
