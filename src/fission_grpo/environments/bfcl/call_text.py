"""Reads the texts of calls that bfcl-eval hands to Python's `eval`, such as `mv(source='a', destination='b')`.

Nothing is evaluated. What cannot be a call gets the answer that `eval` would give, since a model reads that answer.
bfcl-eval puts the name of a live instance before every method name that a `(` follows, inside strings too; so is it done
here.
"""

import ast
import inspect
import re
import warnings
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, NoReturn, cast

from fission_grpo.environments.bfcl.executor import ERROR_PREFIX, REFUSED_NAMES, MethodTable, method_table
from fission_grpo.types import ToolCall

CACHED_TEXTS = 65_536
LONGEST_CACHED = 2_000
"""Characters of a text whose call is remembered: so many long ones would fill the memory."""
_METHOD_NAME = re.compile(r"\b([a-zA-Z_]\w*)\s*(?=\()")
_MODULES = frozenset({"copy", "importlib", "inspect", "json", "re"})
"""Modules that bfcl-eval's executor has imported: `copy(...)` is no unknown name to its `eval`, but no function either."""


class _Unreadable(Exception):
    """Carries what `eval` would say; never leaves this module."""


def read_call(text: str, classes: tuple[str, ...], instance_prefix: str) -> ToolCall | str:
    """The call of a text, or the result text where there is nothing to call.

    Args:
        text: one call; arguments by name or by position, each a literal or a call itself.
        classes: the API classes of the task, whose public methods are known names.
        instance_prefix: what bfcl-eval names its instances by: `<model>_<task id>`, see `instance_prefix`.

    >>> read_call("cd(folder='docs')", ("GorillaFileSystem",), "m_t")
    ToolCall(name='cd', arguments={'folder': 'docs'})
    >>> read_call("sort(items=docs)", ("GorillaFileSystem",), "m_t")
    "Error during execution: name 'docs' is not defined"
    """
    read = _read_cached if len(text) <= LONGEST_CACHED else _read
    return read(text, classes, instance_prefix)


def _read(text: str, classes: tuple[str, ...], instance_prefix: str) -> ToolCall | str:
    table = method_table(classes)
    instances = _instance_names(classes, instance_prefix)
    with_instances = _METHOD_NAME.sub(lambda match: instances.get(match[1], match[1]), text)
    try:
        _refuse(with_instances)
        return _to_call(_parsed(with_instances), table, instances)
    except _Unreadable as error:
        return f"{ERROR_PREFIX}{error}"
    except (MemoryError, RecursionError):  # parsing, reading and showing an expression all recurse
        return f"{ERROR_PREFIX}too many nested parentheses"


_read_cached = lru_cache(CACHED_TEXTS)(_read)


def instance_prefix(model: str, task_id: str) -> str:
    """How bfcl-eval begins the names of the instances that a model plays a task on."""
    return re.sub(r"[-./:]", "_", f"{model}_{task_id}")


@cache
def _instance_names(classes: tuple[str, ...], prefix: str) -> Mapping[str, str]:
    """Method name -> `<instance>.<method>`."""
    return {name: f"{prefix}_{method.class_name}_instance.{name}" for name, method in method_table(classes).items()}


def _refuse(text: str) -> None:
    name = text.split("(")[0]
    name = name.split(".")[1] if "." in name else name
    if name in REFUSED_NAMES:
        raise _Unreadable(f"Function call {name} is not allowed.")


def _parsed(text: str) -> ast.expr:
    text = text.lstrip(" \t")  # so does `eval`
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on the text of a model is of no use to our user
            # Compiling runs nothing, and finds what parsing alone does not, such as a keyword given twice.
            compile(text, "<string>", "eval")
            return ast.parse(text, "<string>", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise _Unreadable(str(error)) from None


def _to_call(node: ast.expr, table: MethodTable, instances: Mapping[str, str]) -> ToolCall | str:
    if isinstance(node, ast.Call):
        return _call(node, table, instances)
    if isinstance(node, ast.Tuple) and not node.elts:  # what a call without a name looks like
        return "()"
    raise _Unreadable(f"{ast.unparse(node)!r} is no call")


def _call(node: ast.Call, table: MethodTable, instances: Mapping[str, str]) -> ToolCall:
    name = _function_name(node.func, instances)
    positional = [_value(argument, table, instances) for argument in node.args]
    named: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _Unreadable("argument unpacking is not supported")
        named[keyword.arg] = _value(keyword.value, table, instances)
    return ToolCall(name, {**_by_name(name, positional, named, table), **named})


def _function_name(node: ast.expr, instances: Mapping[str, str]) -> str:
    """The method that a function expression names; other names stay as they are, for the executor to refuse."""
    if isinstance(node, ast.Name):
        if node.id in _MODULES:
            raise _Unreadable("'module' object is not callable")
        return node.id
    if isinstance(node, ast.Attribute):
        dotted = ast.unparse(node)
        return node.attr if instances.get(node.attr) == dotted else _undefined(node)
    raise _Unreadable(f"{ast.unparse(node)!r} is no function")


def _undefined(node: ast.expr) -> NoReturn:
    while isinstance(node, ast.Attribute):
        node = node.value
    raise _Unreadable(f"name {ast.unparse(node)!r} is not defined")


def _by_name(name: str, positional: list[Any], named: Mapping[str, Any], table: MethodTable) -> dict[str, Any]:
    """Positional arguments under their parameters' names."""
    if not positional or name not in table:
        return {}
    method = table[name]
    parameters = list(inspect.signature(method.function).parameters)[1:]
    if len(positional) > len(parameters):
        raise _Unreadable(f"{method.class_name}.{name}() takes {len(parameters)} arguments but {len(positional)} were given")
    for parameter in parameters[: len(positional)]:
        if parameter in named:
            raise _Unreadable(f"{method.class_name}.{name}() got multiple values for argument {parameter!r}")
    return dict(zip(parameters, positional, strict=False))


def _value(node: ast.expr, table: MethodTable, instances: Mapping[str, str]) -> Any:
    """A literal, or a call that the executor makes before the one that it is an argument of."""
    match node:
        case ast.Call():
            return _call(node, table, instances)
        case ast.List(elts=items):
            return [_value(item, table, instances) for item in items]
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            return {
                _literal(key): _value(value, table, instances)
                for key, value in zip(cast(list[ast.Constant], keys), values, strict=True)
            }
        case ast.Name(id=name) if name not in _MODULES:
            raise _Unreadable(f"name {name!r} is not defined")
        case _:
            return _literal(node)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _Unreadable(f"{ast.unparse(node)!r} is no literal") from None
