"""The executor refuses what escapes, hangs or leaks, and says so as an error result."""

import time
from typing import Any

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.environments.bfcl import executor
from fission_grpo.environments.bfcl.executor import Method, as_result, execute, method_table, new_instances
from fission_grpo.environments.bfcl.package import CLASSES, api_class
from fission_grpo.types import ToolCall

FILES = {"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}}


def play(*calls: ToolCall, classes: tuple[str, ...] = CLASSES, config: dict[str, Any] | None = None) -> list[str]:
    instances = new_instances(classes, config or FILES, long_context=False)
    return [execute(call, method_table(classes), instances) for call in calls]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("__import__('os').system", "invalid syntax (<string>, line 1)"),
        ("__import__", "name '__import__' is not defined"),
        ("os.system", "name 'os' is not defined"),
        ("print", "name 'print' is not defined"),
        ("eval", "name 'eval' is not defined"),
        ("_load_scenario", "name '_load_scenario' is not defined"),
        ("__init__", "name '__init__' is not defined"),
        ("__class__", "name '__class__' is not defined"),
        ("GorillaFileSystem.ls", "name 'GorillaFileSystem' is not defined"),
        ("kill", "Function call kill is not allowed."),
        ("os.popen", "Function call popen is not allowed."),
        ("", "invalid syntax (<string>, line 1)"),
        ("1 + 1", "invalid syntax (<string>, line 1)"),
    ],
)
def test_only_public_methods_can_be_called(name: str, answer: str, capfd: pytest.CaptureFixture[str]) -> None:
    [text] = play(ToolCall(name, {"command": "echo escaped"}))
    assert text == f"Error during execution: {answer}"
    assert as_result(text).is_error
    assert "escaped" not in capfd.readouterr().out


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)
METHODS = method_table(CLASSES)
PARAMETERS = {
    name: list(method.function.__code__.co_varnames[1 : method.function.__code__.co_argcount])
    for name, method in METHODS.items()
}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_arguments_give_a_text_within_a_second(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(METHODS)))
    keys = PARAMETERS[name] + data.draw(st.lists(st.text(), max_size=1))
    arguments = {key: data.draw(JSON) for key in keys}
    start = time.thread_time()
    [text] = play(ToolCall(name, arguments))
    assert isinstance(text, str)
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("square_root", {"number": 2, "precision": 10**7}),
        ToolCall("logarithm", {"value": 2, "base": 3, "precision": 10**7}),
        ToolCall("logarithm", {"value": 2, "base": 3, "precision": "10000000"}),
        ToolCall("logarithm", {"value": "1e999999999", "base": 3, "precision": 5}),
        ToolCall("power", {"base": 10, "exponent": 10**9}),
        ToolCall("power", {"base": -(10**300), "exponent": 10**9}),
        ToolCall("round_number", {"number": 5, "decimal_places": -(10**9)}),
    ],
)
def test_arguments_that_hang_are_refused(call: ToolCall) -> None:
    start = time.thread_time()
    [text] = play(call)
    assert as_result(text).is_error
    assert time.thread_time() - start < 0.1


def test_power_beyond_printing_answers_as_python_would() -> None:
    large, huge = play(
        ToolCall("power", {"base": 10, "exponent": 5000}),  # computed, then refused by Python's own limit
        ToolCall("power", {"base": 10, "exponent": 50_000}),
    )
    assert large == huge


def test_largest_precision_is_fast() -> None:
    start = time.thread_time()
    play(
        ToolCall("square_root", {"number": 2, "precision": 10_000}),
        ToolCall("logarithm", {"value": 2, "base": 3, "precision": 10_000}),
    )
    assert time.thread_time() - start < 1.0


def test_folders_copied_into_each_other_do_not_hang() -> None:
    calls = [ToolCall("mkdir", {"dir_name": "a"}), ToolCall("mkdir", {"dir_name": "b"})]
    for _ in range(40):  # each pair of copies would double the number of paths
        calls += [ToolCall("cp", {"source": "a", "destination": "b"}), ToolCall("mv", {"source": "b", "destination": "c"})]
        calls += [ToolCall("cp", {"source": "c", "destination": "a"}), ToolCall("mv", {"source": "c", "destination": "b"})]
    start = time.thread_time()
    play(*calls, ToolCall("find", {}), ToolCall("du", {}))
    assert time.thread_time() - start < 2.0


def test_folders_cannot_nest_without_end() -> None:
    step = [ToolCall("mkdir", {"dir_name": "a"}), ToolCall("cd", {"folder": "a"})]
    texts = play(*(step * 150))
    assert "file system too deep" in texts[-2]


def test_precision_does_not_outlive_its_call() -> None:
    before = mpmath.mp.prec
    [text] = play(ToolCall("logarithm", {"value": 2, "base": 10, "precision": 40}))
    assert len(text) > 40
    assert mpmath.mp.prec == before


def test_mutable_defaults_do_not_leak_between_instances() -> None:
    config = {"TwitterAPI": {"authenticated": True, "tweet_counter": 0}}
    post, mention = (
        ToolCall("post_tweet", {"content": "hi"}),
        ToolCall("mention", {"tweet_id": 0, "mentioned_usernames": ["@eve"]}),
    )
    play(post, mention, config=config)
    assert '"mentions": []' in play(post, config=config)[0]


def test_a_call_is_not_changed_by_what_follows_it() -> None:
    post = ToolCall("post_tweet", {"content": "hi", "mentions": ["@bob"]})
    mention = ToolCall("mention", {"tweet_id": 0, "mentioned_usernames": ["@eve"]})
    play(post, mention, config={"TwitterAPI": {"authenticated": True, "tweet_counter": 0}})
    assert post.arguments == {"content": "hi", "mentions": ["@bob"]}


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), MemoryError("full"), RecursionError()])
def test_nothing_raised_by_a_method_escapes(error: BaseException) -> None:
    def fail(_: Any) -> None:
        raise error

    method = Method("MathAPI", fail, None, {}, sets_precision=False)
    assert execute(ToolCall("fail"), {"fail": method}, {"MathAPI": api_class("MathAPI")()}).startswith(executor.ERROR_PREFIX)


def test_keyboard_interrupt_is_the_users_own() -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    method = Method("MathAPI", interrupt, None, {}, sets_precision=False)
    with pytest.raises(KeyboardInterrupt):
        execute(ToolCall("interrupt"), {"interrupt": method}, {"MathAPI": api_class("MathAPI")()})


@pytest.mark.parametrize(
    ("text", "is_error", "is_soft_failure"),
    [
        ('{"error": "cd: a: no"}', True, False),
        ('{"booking_status": false, "error": "Card not registered"}', True, False),
        ("Error during execution: x", True, False),
        ("[{'error': 'User not authenticated.'}]", True, False),
        ("['Error: User not authenticated.']", True, False),
        ('{"login_status": false}', False, True),
        ('{"symbol": "Stock not found"}', False, True),
        ('{"nearest_airport": "Unknown"}', False, True),
        ('{"file_content": "the \\"error\\": here"}', False, False),
        ("None", False, False),
    ],
)
def test_results_are_classified(text: str, is_error: bool, is_soft_failure: bool) -> None:
    result = as_result(text)
    assert (result.is_error, result.is_soft_failure) == (is_error, is_soft_failure)
