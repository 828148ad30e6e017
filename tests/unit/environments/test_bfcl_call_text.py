"""Any text becomes a call or an answer: none is executed as code."""

import warnings
from pathlib import Path
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.environments.bfcl import BFCLEnvironment, official_tasks
from fission_grpo.environments.bfcl.call_text import instance_prefix, read_call
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall, ToolResult

FILES = ("GorillaFileSystem",)
PIECES = st.sampled_from(
    [
        "ls",
        "(",
        ")",
        "a=",
        "'x'",
        ",",
        "1",
        "[",
        "]",
        "{",
        "}",
        ":",
        ".",
        "*",
        "**",
        "lambda: ",
        "f'{a}'",
        "(y := 1)",
        "\x00",
        "__import__('os')",
        ".__class__",
        " ",
        "\n",
        "cd(",
        "not ",
        "-",
        "�",
        "json",
        "#",
        "m_GorillaFileSystem_instance.",
        "[x for x in y]",
        "await ",
        "yield ",
        "...",
        "1j",
        "{1, 2}",
        "{**a}",
        '"',
        "\\",
        "import os",
        ";",
        "ls()",
        "0x",
    ]
)


def read(text: str, classes: tuple[str, ...] = FILES) -> ToolCall | str:
    return read_call(text, classes, "m")


@given(st.text() | st.lists(PIECES, max_size=20).map("".join) | st.lists(PIECES, max_size=12).map("ls({})".format))
def test_any_text_gives_a_call_or_an_answer(text: str) -> None:
    assert isinstance(read(text), ToolCall | str)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "ls(" * 100_000,
        "ls(a=" + "-" * 1_000 + "1)",
        "ls(a=" + "not " * 1_000 + "1)",
        "ls(a=" + "1+" * 1_000 + "1)",
        "ls(a=" + "lambda:" * 900 + "1)",
        "ls" + ".b" * 1_000 + "()",
        "ls" + "()" * 1_000,
        "ls(a=b" + "[0]" * 1_000 + ")",
        "ls(a=" + "9" * 100_000 + ")",
        "ls(a=9**9**9)",
        "ls(a='" + "x" * 1_000_000 + "')",
        "x" * 1_000_000,
        "a " * 500_000,
        "a" + " " * 1_000_000,
    ],
    ids=lambda text: text[:16],
)
def test_nasty_texts_give_a_call_or_an_answer(text: str) -> None:
    assert isinstance(read(text), ToolCall | str)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch X')",
        "ls(a=__import__('os').system('touch X'))",
        "ls(a=open('X', 'w'))",
        "open('X', 'w')",
        "exec(\"open('X', 'w')\")",
        "eval(\"open('X', 'w')\")",
        "(lambda: open('X', 'w'))()",
        "ls.__globals__['__builtins__']['open']('X', 'w')",
        "ls().__class__.__base__.__subclasses__()",
        "ls(a=f\"{open('X', 'w')}\")",
        "ls(a=(f := open)('X', 'w'))",
        "ls(a=[open(x, 'w') for x in 'X'])",
        "ls(*[open('X', 'w')])",
        "ls(**{'a': open('X', 'w')})",
        "ls(a=open('X', 'w') if True else 1)",
        "[open('X', 'w')]",
        "json.codecs.open('X', 'w')",
        "ls();open('X', 'w')",
        "ls()\nopen('X', 'w')",
        "copy.os.system('touch X')",
    ],
)
def test_nothing_is_executed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, result = play(text)
    assert result.is_error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("cd(folder='docs')", ToolCall("cd", {"folder": "docs"})),
        ("cd('docs')", ToolCall("cd", {"folder": "docs"})),
        ("mv('a', destination='b')", ToolCall("mv", {"source": "a", "destination": "b"})),
        (" ls()", ToolCall("ls")),  # `eval` drops blanks and tabs before an expression, and line breaks around it
        ("\t ls ( )\n", ToolCall("ls")),
        ("ls(a=True)", ToolCall("ls", {"a": True})),
        ("echo(content='see ls (x)')", ToolCall("echo", {"content": "see m_GorillaFileSystem_instance.ls(x)"})),
        ("print(1)", ToolCall("print")),  # for the executor to refuse
        ("cd(folder=pwd())", ToolCall("cd", {"folder": ToolCall("pwd")})),
        ("cd(folder=[{'a': pwd()}])", ToolCall("cd", {"folder": [{"a": ToolCall("pwd")}]})),
    ],
)
def test_calls(text: str, call: ToolCall) -> None:
    assert read(text) == call


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "invalid syntax (<string>, line 0)"),
        ("ls(", "'(' was never closed (<string>, line 1)"),
        ("ls(a=1, a=2)", "keyword argument repeated: a (<string>, line 1)"),
        ("ls(True, a=2)", "GorillaFileSystem.ls() got multiple values for argument 'a'"),
        ("pwd(1)", "GorillaFileSystem.pwd() takes 0 arguments but 1 were given"),
        ("ls(\0)", "source code string cannot contain null bytes"),
        ("sort(file_name=notes)", "name 'notes' is not defined"),
        ("os.listdir()", "name 'os' is not defined"),
        ("GorillaFileSystem.ls()", "name 'GorillaFileSystem' is not defined"),
        ("copy(ls())", "'module' object is not callable"),
        ("kill(1)", "Function call kill is not allowed."),
        ("os.popen('x')", "Function call popen is not allowed."),
    ],
)
def test_texts_that_are_no_call(text: str, answer: str) -> None:
    assert read(text) == f"Error during execution: {answer}"


def test_a_call_without_a_name_is_an_empty_tuple() -> None:
    assert read("()") == "()"


def test_reading_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("1()")  # Python would warn that it may miss a comma
        assert read(r"cd(folder='\d')") == ToolCall("cd", {"folder": r"\d"})


def test_names_of_instances_hold_no_punctuation() -> None:
    assert instance_prefix("Qwen_Qwen3-1.7B", "multi_turn_base_3") == "Qwen_Qwen3_1_7B_multi_turn_base_3"


def play(*texts: str, classes: tuple[str, ...] = FILES) -> tuple[ToolCall, ToolResult]:
    """The last of some calls, in an environment of its own."""
    environment = BFCLEnvironment()
    task = official_tasks("multi_turn_base")[0]
    config = {name: task.config.get(name, {}) for name in classes}
    turns = (Turn(messages=task.turns[0].messages),)
    environment.reset(Task(id="t", scenario="s", split="test", classes=classes, config=config, turns=turns))
    return [environment.call_text(text, "m") for text in texts][-1]


def test_a_nested_call_is_made_first() -> None:
    call, result = play("echo(content=touch(file_name='made'))", "ls()")
    assert call == ToolCall("ls")
    assert "made" in result.content


@pytest.mark.parametrize("inner", ["print()", "kill()", "add(a='x')", "no_such_tool(a=1)"])
def test_what_a_nested_call_cannot_do_is_the_answer(inner: str) -> None:
    _, result = play(f"add(a={inner}, b=1)", classes=("MathAPI",))
    assert result.is_error


def test_the_precision_of_a_nested_call_does_not_leak() -> None:
    before = mpmath.mp.prec
    _, root = play("square_root(number=2, precision=40)", classes=("MathAPI",))
    play("add(a=square_root(number=2, precision=300), b=1)", classes=("MathAPI",))
    assert mpmath.mp.prec == before
    assert play("square_root(number=2, precision=40)", classes=("MathAPI",))[1] == root


def test_a_nested_call_is_refused_what_hangs() -> None:
    _, result = play("add(a=square_root(number=2, precision=10000000), b=1)", classes=("MathAPI",))
    assert "precision must be at most" in result.content


def test_the_recorded_call_is_not_changed_by_what_it_does() -> None:
    arguments: dict[str, Any] = {"number": 2, "precision": 5}
    call, _ = play("add(a=square_root(number=2, precision=5), b=1)", classes=("MathAPI",))
    assert call == ToolCall("add", {"a": ToolCall("square_root", arguments), "b": 1})
