"""Our executor over bfcl-eval's API classes: dispatch by name, same texts as the official one, nothing evaluated.

The official executor builds a Python expression from the model's text and calls `eval` on it, so a policy can run
anything. Here a call is looked up in a prebuilt table of public methods. Deviations from the official texts:

- a name outside the table is `name '...' is not defined`, Python's builtins included (officially, they run);
- arguments that hang or fill the memory are refused (`limits`);
- text inside arguments that looks like a call (`"see ls (x)"`) is left alone (officially, it is rewritten; so it is by
  `call_text`, through which the benchmark is played and scored).
"""

import copy
import decimal
import inspect
import json
import re
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, cast

import mpmath  # pyright: ignore[reportMissingTypeStubs]

from fission_grpo.environments.bfcl.limits import GUARDS, Guard
from fission_grpo.environments.bfcl.package import Instances, api_class, package_module
from fission_grpo.environments.bfcl.state import WorldState
from fission_grpo.types import ToolCall, ToolResult

ERROR_PREFIX = "Error during execution: "
REFUSED_NAMES = frozenset({"kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"})
_ERROR_STARTS = ("Error during execution:", "[{'error':", "['Error:")
_SOFT_FAILURES = ('status": false', '"success": false', '"Stock not found"', '"Unknown"')
_SETS_PRECISION = frozenset({("MathAPI", "logarithm"), ("MathAPI", "square_root")})
_PRECISION_LOCK = threading.RLock()
_CONTAINERS = (list, dict, ToolCall)
_LEADING_NAME = re.compile(r"[A-Za-z_]\w*(?=$|[.-])")


class _Refusal(Exception):
    """Carries the words of a refusal to `execute`, which answers with them."""


class Method(NamedTuple):
    """A public method of an API class, with what has to be known to call it safely."""

    class_name: str
    function: Callable[..., Any]
    guard: Guard | None
    mutable_defaults: Mapping[str, Any]
    sets_precision: bool


MethodTable = Mapping[str, Method]


@cache
def method_table(classes: tuple[str, ...]) -> MethodTable:
    """Public methods by name; of classes that share a name the last one wins, as in bfcl-eval."""
    return {
        name: _method(class_name, name, function)
        for class_name in classes
        for name, function in inspect.getmembers(api_class(class_name), inspect.isfunction)
        if not name.startswith("_")
    }


def _method(class_name: str, name: str, function: Callable[..., Any]) -> Method:
    parameters = inspect.signature(function).parameters.values()
    key = (class_name, name)
    return Method(
        class_name=class_name,
        function=function,
        guard=GUARDS.get(key),
        mutable_defaults={p.name: p.default for p in parameters if type(p.default) in (list, dict)},
        sets_precision=key in _SETS_PRECISION,
    )


def new_instances(classes: tuple[str, ...], config: Mapping[str, Any], long_context: bool) -> Instances:
    """Fresh instances in their initial state. They may still share bfcl-eval's module data: copy before playing."""
    stateless: list[str] = package_module("constants.executable_backend_config").STATELESS_CLASSES
    instances: Instances = {}
    for name in classes:
        instance = api_class(name)()
        if name not in stateless:
            instance._load_scenario(copy.deepcopy(config.get(name, {})), long_context=long_context)
        instances[name] = instance
    return instances


def execute(call: ToolCall, table: MethodTable, instances: Instances | WorldState) -> str:
    """Executes one call and returns the text that bfcl-eval would return. Never raises, but for KeyboardInterrupt.

    An argument may itself be a call (`book_flight(travel_cost=get_flight_cost(...))`): it is made first, as in bfcl-eval.
    """
    try:
        method = table.get(call.name)
        if method is not None and method.sets_precision:
            with _own_precision():  # the text depends on the precision, so it is rendered inside
                return _rendered(_invoke(call, table, instances))
        return _rendered(_invoke(call, table, instances))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit included: a call must not end the process
        return f"{ERROR_PREFIX}{error}"


def _invoke(call: ToolCall, table: MethodTable, instances: Instances | WorldState) -> Any:
    """What the API method returns; raises what it raises, and the words of a refusal."""
    method = table.get(call.name)
    if method is None:
        raise _Refusal(_unknown(call.name))
    instance = instances[method.class_name]
    # A copy: API methods keep their arguments, and must not change the recorded call through them.
    arguments = {
        name: _own(value, table, instances) if type(value) in _CONTAINERS else value
        for name, value in call.arguments.items()
    }
    if method.guard is not None and (refusal := method.guard(instance, arguments)) is not None:
        raise _Refusal(refusal)
    for name, default in method.mutable_defaults.items():
        arguments.setdefault(name, default.copy())
    return method.function(instance, **arguments)


def as_result(text: str) -> ToolResult:
    """Classifies a result text: error, soft failure, or neither."""
    is_error = text.startswith(_ERROR_STARTS) or '"error":' in text
    return ToolResult(text, is_error, not is_error and any(mark in text for mark in _SOFT_FAILURES))


def _rendered(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is dict:
        try:
            return json.dumps(value)
        except Exception:  # as in bfcl-eval: whatever JSON cannot hold is shown as Python shows it
            return str(cast(Any, value))
    return str(value)


@contextmanager
def _own_precision() -> Generator[None]:
    # mpmath's precision is global and decimal's belongs to the thread; what a call sets must not outlive it.
    context: Any = mpmath.mp
    with _PRECISION_LOCK, context.workprec(context.prec), decimal.localcontext():
        yield


def _own(value: Any, table: MethodTable, instances: Instances | WorldState) -> Any:
    """The value of an argument: a copy of lists and objects, and of a call what it returns."""
    if type(value) is list:
        return [_own(item, table, instances) for item in cast(list[Any], value)]
    if type(value) is dict:
        return {key: _own(item, table, instances) for key, item in cast(dict[str, Any], value).items()}
    if type(value) is ToolCall:
        with _own_precision():
            return _invoke(value, table, instances)
    return value


def _unknown(name: str) -> str:
    """What bfcl-eval's `eval` would say of a call to a name that is no API method."""
    parts = name.split(".")
    function = parts[1] if len(parts) > 1 else name
    if function in REFUSED_NAMES:
        return f"Function call {function} is not allowed."
    match = _LEADING_NAME.match(name)
    return f"name '{match.group()}' is not defined" if match else "invalid syntax (<string>, line 1)"
