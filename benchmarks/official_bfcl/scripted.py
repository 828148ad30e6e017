"""A scripted model that plays an official task in every manner which the official handlers treat specially.

What it says depends on the task, the turn and the step alone, so that two harnesses which should behave alike can be held
against each other: each asks `ScriptedModel.say(turn, step)` for the completion. The manner is chosen by a hash of the
task's id, the turn and the call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from official_bfcl.calls import (
    Call,
    Parameters,
    Row,
    Style,
    choose,
    fc_call,
    parse_turns,
    python_call,
    render,
    tagged,
    to_json,
)

RICH_TEXT = "é \"double\" 'single' \\ back\n\tnext line, 日本 😀 {braces} <b>"
RICH: dict[str, Any] = {"text": RICH_TEXT, "nested": {"a": [1, 2.5, {"b": None}], "c": "d"}, "flags": [True, False, -3]}

Manner = Callable[[Sequence[Call], Style], list[str]]
"""From one or more calls that the model makes together, the messages in which it makes them."""


@dataclass(frozen=True)
class ScriptedModel:
    """What the model says at each turn and step (both counted from 0) of one task.

    Args:
        task_id: the official id.
        turns: the reference calls of each turn.
        style: the message style.
        plain: each reference call in a message of its own after a short thought, then a closing sentence, nothing else.
    """

    task_id: str
    turns: Sequence[Sequence[Call]]
    style: Style
    plain: bool = False

    def say(self, turn: int, step: int) -> str:
        """The completion at a step. A turn that is longer than its script goes on with closing texts."""
        repeated = 0 if self.plain else self._repetitions(turn)
        if step < repeated:
            return render([self._any_call()], self.style)
        script = self._plain_script(turn) if self.plain else [] if repeated else self._script(turn)
        return script[step] if step < len(script) else self._closing(turn)

    def _repetitions(self, turn: int) -> int:
        """How often the first call of the task is repeated: one call above or exactly at the official limit of steps."""
        endings = {0: (len(self.turns) // 2, 100), 1: (len(self.turns) - 1, 100), 2: (0, 20), 3: (0, 21)}
        chosen, count = endings.get(choose(24, self.task_id, "endless"), (-1, 0))
        return count if chosen == turn else 0

    def _any_call(self) -> Call:
        return next(call for calls in self.turns for call in calls)

    def _plain_script(self, turn: int) -> list[str]:
        return [f"<think>\nNow {call.name}.\n</think>\n\n{render([call], self.style)}" for call in self.turns[turn]]

    def _script(self, turn: int) -> list[str]:
        calls = list(self.turns[turn])
        if not calls and choose(3, self.task_id, turn, "nevertheless") == 0:
            calls = [self._any_call()]
        manners = COMMON_MANNERS + (FC_MANNERS if self.style == "qwen-fc" else PROMPTING_MANNERS)
        messages: list[str] = []
        while calls:
            key = (self.task_id, self.style, turn, len(messages), len(calls))
            together = 1 + choose(3, *key, "together") if choose(3, *key, "several") == 0 else 1
            # A few manners end the whole episode in an exception of the official handler: seldom enough to leave the rest.
            rare = choose(60, *key, "rare") == 0 and self.style == "qwen-fc"
            pool = BREAKING_FC_MANNERS if rare else manners
            messages += pool[choose(len(pool), *key, "manner")](calls[:together], self.style)
            calls = calls[together:]
        return messages

    def _closing(self, turn: int) -> str:
        closings = CLOSINGS + (FC_CLOSINGS if self.style == "qwen-fc" else PROMPTING_CLOSINGS)
        return "Done." if self.plain else closings[choose(len(closings), self.task_id, self.style, turn, "closing")]


def scripted_model(
    row: Row, ground_truth: Sequence[Sequence[str]], style: Style, parameters: Parameters, *, plain: bool = False
) -> ScriptedModel:
    return ScriptedModel(str(row["id"]), parse_turns(ground_truth, parameters), style, plain)


CLOSINGS = [
    "Done.",
    "<think>\nAll of it is done.\n</think>\n\nDone.",
    '<think>\n\n</think>\n\nThe answer is "é".\n\n',
    "I called ls() and pwd (twice).",
    "",
    " \n",
    "</think>",
    "<think>\nnothing after this\n</think>\n\n",
    "<think>\nnever closed",
    "\n\nWhich file do you mean?",
]
FC_CLOSINGS = ["<tool_call>\n\n</tool_call>", "<tool_call>", "[]", "[ls()]"]
PROMPTING_CLOSINGS = ["[]", "``", "[\n]", "[Done]", '<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>']


def _framed(before: str, after: str = "") -> Manner:
    return lambda calls, style: [f"{before}{render(calls, style)}{after}"]


def _one_by_one(calls: Sequence[Call], style: Style) -> list[str]:
    return [render([call], style) for call in calls]


def _thinking_each(calls: Sequence[Call], style: Style) -> list[str]:
    return [
        f"<think>\n\nStep {index}: {call.name}?\n\n</think>\n\n{render([call], style)}" for index, call in enumerate(calls)
    ]


def erring(call: Call) -> Call:
    """A call that errs, in one of several ways. The invented names resemble no real one (Python 3.13 would suggest that)."""
    return [
        call.changed(zzq9=1),
        Call("zzq9_tool", dict(call.arguments)),
        Call(call.name, {}),
        Call("kill", {"pid": 1}),
        Call(f"api.{call.name}", dict(call.arguments)),
        Call("zzq9_tool", RICH),
    ][choose(6, call.name, to_json(dict(call.arguments)))]


def _error_first(calls: Sequence[Call], style: Style) -> list[str]:
    return [render([erring(calls[0])], style), render(calls, style)]


def _error_beside(calls: Sequence[Call], style: Style) -> list[str]:
    return [render([erring(calls[0]), *calls], style)]


def _rich_first(calls: Sequence[Call], style: Style) -> list[str]:
    call = calls[0]
    texts = [name for name, value in call.arguments.items() if isinstance(value, str)]
    return [render([call.changed(**dict.fromkeys(texts, RICH_TEXT))], style), render(calls, style)]


def _rich_unknown(calls: Sequence[Call], style: Style) -> list[str]:
    return [render([Call("zzq9_tool", RICH), *calls], style)]


def _wrong_types(calls: Sequence[Call], style: Style) -> list[str]:
    wrong = Call(calls[0].name, {name: [value] for name, value in calls[0].arguments.items()})
    return [render([wrong], style), render(calls, style)]


def _identical_twice(calls: Sequence[Call], style: Style) -> list[str]:
    return [render([calls[0], *calls], style)]


def _call_inside_thinking(calls: Sequence[Call], style: Style) -> list[str]:
    return [f"<think>\nPerhaps\n{render([erring(calls[0])], style)}\n</think>\n\n{render(calls, style)}"]


def _only_inside_thinking(calls: Sequence[Call], style: Style) -> list[str]:
    return [f"<think>\n{render(calls, style)}\n</think>\n\nDone."]


def _malformed(calls: Sequence[Call], style: Style) -> list[str]:
    return [render(calls, style).replace(":" if style == "qwen-fc" else "(", "", 1)]


def _malformed_beside(calls: Sequence[Call], style: Style) -> list[str]:
    broken = tagged('{"name": "ls", "arguments": {') if style == "qwen-fc" else "ls(a=)"
    return [f"{broken}\n{render(calls, style)}", f"{render(calls, style)}\n{broken}"]


COMMON_MANNERS: list[Manner] = [
    *[_framed(""), _one_by_one, _one_by_one, _thinking_each, _thinking_each] * 3,
    _framed("<think>\n\n</think>\n\n"),
    _framed("so be it\n</think>\n\n"),
    _framed("</think>"),
    _framed("<think>one</think>two</think>\n\n"),
    _framed("<think>\nnever closed\n"),
    _framed("<think>"),
    _framed("I will do that now.\n", "\nThat is all."),
    _framed("<think>\nfirst the text\n</think>\n\nNow: ", "\n\n"),
    _framed("\n\n", " \n\n"),
    _error_first,
    _error_first,
    _error_beside,
    _rich_first,
    _rich_unknown,
    _wrong_types,
    _identical_twice,
    _call_inside_thinking,
    _only_inside_thinking,
    _malformed,
    _malformed_beside,
]


def _json_manner(text: Callable[[Call], str]) -> Manner:
    """Each call as the given text inside the tags, in one message."""
    return lambda calls, style: ["\n".join(tagged(text(call)) for call in calls)]


FC_MANNERS: list[Manner] = [
    _json_manner(lambda call: to_json({"name": call.name, "arguments": to_json(dict(call.arguments))})),
    _json_manner(lambda call: to_json({"name": call.name, "arguments": "no JSON"})),
    _json_manner(lambda call: to_json({"name": call.name, "arguments": list(call.arguments.values())})),
    _json_manner(lambda call: to_json({"name": call.name, "arguments": None})),
    _json_manner(lambda call: to_json({"id": 7, "arguments": dict(call.arguments), "name": call.name})),
    _json_manner(lambda call: to_json({"name": call.name + '"é', "arguments": dict(call.arguments)})),
    _json_manner(lambda call: f' {{\n  "name": "{call.name}",\n  "arguments": {to_json(dict(call.arguments))}\n}} '),
    _json_manner(lambda call: f'{{"name": "{call.name}", "arguments": {{"zzq9": NaN, "zzq8": -Infinity, "zzq7": 1e3}}}}'),
    _json_manner(lambda call: to_json({"name": call.name, "arguments": {"not a name": 1, **call.arguments}})),
    _json_manner(lambda call: "\n".join([to_json({"name": call.name, "arguments": dict(call.arguments)})] * 2)),
    lambda calls, style: [render(calls, style).replace("<tool_call>\n", "<tool_call>").replace("\n</tool", "</tool")],
    lambda calls, style: [render(calls, style).removesuffix("\n</tool_call>")],
    lambda calls, style: ["".join(fc_call(call) for call in calls)],
    lambda calls, style: [render(calls, style).replace("\n", "\r\n")],
    lambda calls, style: [render(calls, "prompting")],
]

# The handler keeps these in its history, cannot write them into the next prompt, and the whole episode becomes a text.
BREAKING_FC_MANNERS: list[Manner] = [
    _json_manner(lambda call: to_json({"arguments": dict(call.arguments)})),
    _json_manner(lambda call: to_json({"name": call.name})),
    _json_manner(lambda call: to_json({"name": None, "arguments": dict(call.arguments)})),
    _json_manner(lambda call: to_json([call.name, dict(call.arguments)])),
    _json_manner(lambda call: "17"),
    _json_manner(lambda call: to_json({"name": call.name, "arguments": dict(call.arguments), "function": call.name})),
    _json_manner(lambda call: to_json({"function": {"name": call.name, "arguments": dict(call.arguments)}})),
]


def _python_manner(text: Callable[[Call], str]) -> Manner:
    return lambda calls, style: [f"[{', '.join(text(call) for call in calls)}]"]


PROMPTING_MANNERS: list[Manner] = [
    lambda calls, style: [render(calls, style)[1:-1]],
    lambda calls, style: [f"```\n{render(calls, style)}\n```"],
    lambda calls, style: [f"```python\n{render(calls, style)}\n```"],
    lambda calls, style: ["\n".join(python_call(call) for call in calls)],
    lambda calls, style: [f"[\n    {', '.join(python_call(call) for call in calls)},\n]"],
    lambda calls, style: [f"'{render(calls, style)}'"],
    lambda calls, style: [f"{render(calls, style)}  # as asked"],
    lambda calls, style: [f"{render(calls, style)}\n{render(calls, style)}"],
    lambda calls, style: [render(calls, "qwen-fc")],
    _python_manner(lambda call: f"{call.name}({', '.join(repr(value) for value in call.arguments.values())})"),
    _python_manner(lambda call: f"{call.name}(**{dict(call.arguments)!r})"),
    _python_manner(lambda call: f"{call.name}(zzq9=2 + 3, zzq8='a' + 'b', zzq7=-4, zzq6=+4, zzq5=not 1)"),
    _python_manner(lambda call: f"{call.name}(zzq9=true, zzq8=null, zzq7=..., zzq6=(1, 2), zzq5=a[0])"),
    _python_manner(lambda call: f"{call.name}(zzq9=zzq8(x=1), zzq7={{'a': {{'b': 1}}}})"),
    _python_manner(lambda call: f"{call.name}(zzq9={{}})"),
    _python_manner(lambda call: f"{call.name}(zzq9=f'{{1}}')"),
    _python_manner(lambda call: python_call(call) + "[0]"),
    _python_manner(lambda call: python_call(call.changed(zzq9="see note (x)"))),
]
