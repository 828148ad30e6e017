"""From what a model wrote to the texts of calls, exactly as bfcl-eval's handlers decode it.

Decoding is lenient in some places and strict in others, and what cannot be decoded *ends the user's turn*: a malformed
call beside a good one is dropped, one alone ends the turn. `chat.parsing` is how the trainer reads the same texts; the score
of the benchmark needs the benchmark's reading. Nothing is evaluated; bfcl-eval does evaluate arithmetic, which is computed
here.
"""

import ast
import json
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

MAX_OPERAND = 10**12
"""Arithmetic on larger operands is refused: `9**9**9` would not end."""
MAX_EXPONENT = 64
MAX_REPEATED = 10_000
"""Longest text or list that `'a' * n` may make."""

_OPENED, _CLOSED = "<tool_call>\n", "\n</tool_call>"
_WIDE_FORMAT = re.compile(r"\d{5}|\*")
"""In a `%` format: a field as wide as the memory, or one whose width is another value."""
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


class DecodeError(Exception):
    """The message holds nothing that bfcl-eval can decode: it counts as said to the user, and ends the turn."""


def decode_tool_calls(text: str) -> list[str]:
    """`<tool_call>` messages (handlers of Qwen3 in function-calling mode). A message without calls gives none.

    >>> decode_tool_calls('<tool_call>\\n{"name": "cd", "arguments": {"folder": "docs"}}\\n</tool_call>')
    ["cd(folder='docs')"]

    Raises:
        DecodeError: a call is JSON, but no object with `name` and `arguments`.
    """
    calls = extract_tool_calls(text)
    if any(type(call) is not dict for call in calls):
        raise DecodeError(f"Model did not return a list of function calls: {text}")
    try:
        return _texts([{call["name"]: call["arguments"]} for call in calls])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DecodeError(str(error)) from None


def extract_tool_calls(text: str) -> list[Any]:
    """The JSON between the tags; what is no JSON is dropped silently, as bfcl-eval does."""
    found: list[Any] = []
    for inside in _between_tags(text):
        try:
            found.append(json.loads(inside))
        except (ValueError, RecursionError):
            continue
    return found


def _between_tags(text: str) -> Iterator[str]:
    """bfcl-eval's `<tool_call>\\n(.*?)\\n</tool_call>`, which takes quadratic time where tags are never closed."""
    start = text.find(_OPENED)
    while start >= 0:
        end = text.find(_CLOSED, start + len(_OPENED))
        if end < 0:
            return
        yield text[start + len(_OPENED) : end]
        start = text.find(_OPENED, end + len(_CLOSED))


def decode_function_calls(calls: Any) -> list[str]:
    """`[{name: arguments as JSON text}, ...]`, how endpoints with tool calls are recorded; a text raises.

    Raises:
        DecodeError: plain text, or arguments that are no JSON object.
    """
    try:
        return _texts(calls)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DecodeError(str(error)) from None


def decode_python_calls(text: str) -> list[str]:
    """`[cd(folder='docs'), ls()]`, the format of bfcl-eval's default system prompt.

    >>> decode_python_calls("[cd(folder='docs'), ls()]")
    ["cd(folder='docs')", 'ls()']

    Raises:
        DecodeError: no list of calls.
    """
    text = text.strip("`\n ")
    text = text if text.startswith("[") else "[" + text
    text = text if text.endswith("]") else text + "]"
    try:
        body = _expression(text.strip().strip("'"))
        nodes = [body] if isinstance(body, ast.Call) else cast(list[ast.expr], cast(Any, body).elts)
        calls = [_call(node) for node in nodes if _is_call(node)]
        return [f"{name}({_arguments(values)})" for call in calls for name, values in call.items()]
    except DecodeError:
        raise
    except (SyntaxError, AttributeError, TypeError, ValueError, IndexError, MemoryError, RecursionError) as error:
        raise DecodeError(str(error)) from None


def _texts(calls: Iterable[Mapping[str, Any]]) -> list[str]:
    if isinstance(calls, dict):
        calls = [cast(dict[str, Any], calls)]
    texts: list[str] = []
    for call in calls:
        for name, value in call.items():
            arguments = json.loads(value) if type(value) is str else value
            texts.append(f"{name}({','.join(f'{key}={item!r}' for key, item in arguments.items())})")
    return texts


def _expression(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's advice on the text of a model is of no use to our user
        return ast.parse(text, mode="eval").body


def _is_call(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        raise DecodeError("")  # an assertion without words, officially
    return True


def _call(node: ast.expr) -> dict[str, dict[Any, Any]]:
    """`{name: arguments by name}`. Positional arguments are dropped, as bfcl-eval does."""
    call = cast(ast.Call, node)
    parts: list[str] = []
    function = call.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    return {".".join(reversed(parts)): {keyword.arg: _value(keyword.value) for keyword in call.keywords}}


def _value(node: ast.expr) -> Any:
    """What bfcl-eval takes an argument for: a bare name is its text, `not x` and `~x` are `-x`, and so on."""
    match node:
        case ast.Constant(value=value):
            return "..." if value is Ellipsis else value
        case ast.UnaryOp(operand=operand):
            return -cast(Any, operand).value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return {_value(cast(ast.expr, key)): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.BinOp():
            return _arithmetic(node)
        case ast.Name(id=name):
            return name
        case ast.Call(keywords=[]):
            return ast.unparse(node)
        case ast.Call():
            return _call(node)
        case ast.Subscript(value=value, slice=place):
            return f"{ast.unparse(value)}[{ast.unparse(place)}]"
        case _:
            raise DecodeError(f"Unsupported AST type: {type(node)}")


def _arithmetic(node: ast.expr) -> Any:
    """Computes what bfcl-eval hands to `eval`: operators on literals, bounded; names and calls are refused."""
    match node:
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATORS:
            first, second = _arithmetic(left), _arithmetic(right)
            _check_size(operation, first, second)
            try:
                return _OPERATORS[type(operation)](first, second)
            except (ArithmeticError, TypeError, ValueError) as error:
                raise DecodeError(str(error)) from None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_arithmetic(operand)
        case _:
            return ast.literal_eval(node)


def _check_size(operation: ast.operator, first: Any, second: Any) -> None:
    numbers = [value for value in (first, second) if isinstance(value, int | float)]
    too_large = any(abs(value) > MAX_OPERAND for value in numbers)
    if isinstance(operation, ast.Pow):
        too_large = too_large or any(abs(value) > MAX_EXPONENT for value in numbers[1:])
    if isinstance(operation, ast.Mult) and len(numbers) == 1:
        length = len(first) if isinstance(second, int | float) else len(second)
        too_large = too_large or length * abs(numbers[0]) > MAX_REPEATED
    if isinstance(operation, ast.Mod) and isinstance(first, str | bytes):
        too_large = _WIDE_FORMAT.search(first if isinstance(first, str) else first.decode("latin-1")) is not None
    if too_large:
        raise DecodeError("arithmetic on numbers this large is refused")


def _arguments(values: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    """An argument as text. A dictionary of dictionaries is taken for a call, which is bfcl-eval's rule."""
    if not isinstance(value, dict):
        return repr(value)
    items = cast(dict[Any, Any], value)
    if all(isinstance(item, dict) for item in items.values()):
        name = next(iter(items), None)
        if name is None:
            raise DecodeError("list index out of range")  # officially, the first of no names is asked for
        return f"{name}({_arguments(items[name])})"
    return "{" + ", ".join(f"'{key}': {_shown(item)}" for key, item in items.items()) + "}"


def is_empty(calls: Sequence[str]) -> bool:
    """Whether bfcl-eval takes the decoded calls for none at all."""
    return not calls or (len(calls) == 1 and not calls[0])
