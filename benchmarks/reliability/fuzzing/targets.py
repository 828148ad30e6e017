"""What is fuzzed: each target draws an input and gives it to the real code, and asserts what must hold of the answer.

A target is called with a generator of random numbers; the input depends on nothing else, so a number tells it again. What
it returns says of what kind the mutation was, and whether the code took the input or refused it.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fission_grpo.chat.parsing import first_call, parse_message, render_calls, without_thinking
from fission_grpo.chat.schema import canonical, check_call, normalise_arguments
from fission_grpo.chat.values import UNCARRIABLE
from fission_grpo.environments.bfcl.call_text import read_call
from fission_grpo.environments.bfcl.executor import as_result, execute, method_table, new_instances
from fission_grpo.environments.bfcl.package import CLASSES
from fission_grpo.environments.tau2.arithmetic import check_expression
from fission_grpo.environments.tau2.world import make_world
from fission_grpo.types import ToolCall

from .hostile_values import VALUES
from .mutations import FORMATS, hermes, mutated_call, mutated_calls, mutated_text, python
from .seeds import bfcl_seeds, function_environment, function_seeds, tau2_seeds


class Outcome(NamedTuple):
    """What became of one input.

    Attributes:
        kind: of the mutation.
        accepted: the code took it: calls were read, arguments fit, a call ran.
        masked: the code said that its own infrastructure failed.
    """

    kind: str
    accepted: bool
    masked: bool = False


Target = Callable[[random.Random], Outcome]


def parser(rng: random.Random) -> Outcome:
    """Messages in every call format: one malformed call leaves none, and what is read is written and read again."""
    kind, calls = mutated_calls(rng, bfcl_seeds().calls)
    form = rng.choice(("hermes", "hermes", "hermes", *FORMATS))
    text = FORMATS[form](calls)
    if rng.random() < 0.6:
        kind, text = mutated_text(rng, text, other_texts())
    if rng.random() < 0.1:
        text = rng.choice(("<think>hm</think>", "<think>", "hm</think>", "  ", "Done. ")) + text
    parsed = parse_message(text)
    without_thinking(text)
    assert parsed.error is None or not parsed.calls, "calls beside an error"
    assert not UNCARRIABLE.search(parsed.content), "content that no template can carry"
    if parsed.error is not None:
        parsed.error.detail.encode()
        assert 0 <= parsed.error.position <= len(text) and len(parsed.error.detail) < 500, "a detail that quotes at length"
    elif parsed.calls:
        assert first_call(text) is not None
        again = parse_message(render_calls(parsed.calls)) if len(text) < 60_000 else parsed
        assert again.calls == parsed.calls, "calls that change when written and read"
    return Outcome(kind, bool(parsed.calls))


def schema(rng: random.Random) -> Outcome:
    """Calls as the parser lets them through, against the tools of three worlds."""
    seeds = rng.choice((bfcl_seeds(), bfcl_seeds(), tau2_seeds("retail"), function_seeds()))
    kind, call = mutated_call(rng, seeds.calls)
    read = parse_message(hermes([call])).calls
    if not read:
        return Outcome(kind, False)
    violation = check_call(read[0], seeds.tools)
    canonical(normalise_arguments(read[0], seeds.tools))
    if violation is not None:
        violation.detail.encode()
        assert len(violation.detail) < 500, "a detail that quotes at length"
    return Outcome(kind, violation is None)


class _World:
    """Live instances of all API classes, now and then begun anew."""

    def __init__(self) -> None:
        self.table = method_table(CLASSES)
        self.instances: dict[str, Any] = {}
        self._left = 0

    def play(self, call: ToolCall, rng: random.Random) -> str:
        if self._left <= 0:
            task = rng.choice(bfcl_seeds().tasks)
            self.instances = new_instances(CLASSES, task.config, task.long_context)
            self._left = 25
        self._left -= 1
        return execute(call, self.table, self.instances)


_WORLD = _World()


def executor(rng: random.Random) -> Outcome:
    """Calls, past the schema, on bfcl-eval's real API classes: a text comes back, whatever the arguments are."""
    kind, call = mutated_call(rng, bfcl_seeds().calls)
    if rng.random() < 0.2:  # a call of one method with the arguments of another
        call = ToolCall(rng.choice(list(_WORLD.table)), call.arguments)
    result = as_result(_WORLD.play(call, rng))
    return Outcome(kind, not result.is_error)


def call_text(rng: random.Random) -> Outcome:
    """Python-like texts of calls, as the benchmark reads them; what reads as a call is made."""
    kind, call = mutated_call(rng, bfcl_seeds().calls)
    text = python([call])
    if rng.random() < 0.5:
        kind, text = mutated_text(rng, text, _other_python())
    elif rng.random() < 0.3:
        kind, text = "python expression", text.replace("=", f"={VALUES['python expression'](rng)}, a=", 1)
    read = read_call(text, CLASSES, "model_multi_turn_base_0")
    if isinstance(read, str):
        return Outcome(kind, False)
    return Outcome(kind, not as_result(_WORLD.play(read, rng)).is_error)


_SIGNS = (*"+-*/().,% 90a", "**", "//", "9" * 20, "1e9", "9**9", "__import__('os')")


def calculate(rng: random.Random) -> Outcome:
    """Expressions for tau2's `calculate`, which evaluates them, behind our bound."""
    if rng.random() < 0.3:
        kind = rng.choice(list(VALUES))
        expression = VALUES[kind](rng)
    else:
        kind, expression = "expression", "".join(rng.choice(_SIGNS) for _ in range(rng.randrange(1, 30)))
    try:
        check_expression(expression)
        _calculator()(expression)
    except (ValueError, TypeError, SyntaxError, ZeroDivisionError, OverflowError, AttributeError):
        return Outcome(kind, False)  # what tau2 makes an error result of
    return Outcome(kind, True)


def functions(rng: random.Random) -> Outcome:
    """Calls of plain Python functions."""
    kind, call = mutated_call(rng, function_seeds().calls)
    environment = _bank(rng)
    result = environment.call(call)
    return Outcome(kind, not result.is_error)


_kept: dict[str, Any] = {}


def _bank(rng: random.Random) -> Any:
    if "bank" not in _kept or rng.random() < 0.05:
        _kept["bank"] = function_environment()
        _kept["bank"].reset(function_seeds().tasks[0])
    return _kept["bank"]


def _calculator() -> Callable[[Any], str]:
    if "calculate" not in _kept:
        _kept["calculate"] = make_world("retail").tools.calculate
    return _kept["calculate"]


def other_texts() -> list[str]:
    if "texts" not in _kept:
        _kept["texts"] = [hermes([call]) for call in bfcl_seeds().calls[:400]]
    return _kept["texts"]


def _other_python() -> list[str]:
    if "python" not in _kept:
        _kept["python"] = [python([call]) for call in bfcl_seeds().calls[:400]]
    return _kept["python"]


SURFACES: Mapping[str, Target] = {
    "parser": parser,
    "schema": schema,
    "call text": call_text,
    "executor": executor,
    "calculate": calculate,
    "functions": functions,
}
"""Targets of one function or two each; `journeys.py` has those that go the whole road."""
