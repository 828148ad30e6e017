"""Attacks of a hostile policy, each through the code that would be attacked."""

import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from failing import failure
from red_team import attacks, name_of
from rich.console import Console
from scripted import Doors, door_task

from fission_grpo.chat.parsing import MAX_CALLS, parse_message, render_calls
from fission_grpo.cli.terminal import quoted
from fission_grpo.environments.bfcl.call_text import read_call
from fission_grpo.environments.bfcl.executor import execute, method_table, new_instances
from fission_grpo.environments.bfcl.package import CLASSES
from fission_grpo.environments.tau2.arithmetic import check_expression
from fission_grpo.failures import LONGEST_ERROR, blamed_parameter, classify_step, error_kind_of
from fission_grpo.rollout.episode import MAX_ANSWER_CHARACTERS, play_message
from fission_grpo.simulators import EnvironmentSimulator, FallbackChain, RulesSimulator
from fission_grpo.simulators.answer import answer_text, feedback_of
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.prompt import HEADINGS, diagnosis_prompt
from fission_grpo.types import Failure, FailureKind, Feedback, RuntimeErrorKind, ToolCall, ToolResult

SECONDS = 1.0
FILES = {"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}}


@pytest.fixture(autouse=True)
def nothing_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No attack takes long, or leaves a file behind."""
    monkeypatch.chdir(tmp_path)
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """What is loaded once takes longer."""
    new_instances(CLASSES, {}, long_context=False)


def play(*calls: ToolCall) -> str:
    """The answer to the last call."""
    table, instances = method_table(CLASSES), new_instances(CLASSES, FILES, long_context=False)
    return [execute(call, table, instances) for call in calls][-1]


@pytest.mark.parametrize("attack", attacks("messages"), ids=name_of)
def test_messages(attack: Any) -> None:
    parsed = parse_message(attack["text"])
    assert (parsed.error and parsed.error.kind) == attack.get("error")
    assert len(parsed.calls) == attack.get("calls", 0)


@pytest.mark.parametrize("attack", attacks("call_texts"), ids=name_of)
def test_texts_of_calls(attack: Any) -> None:
    read = read_call(attack["text"], CLASSES, "m_t")
    assert attack["answer"] in (read if isinstance(read, str) else play(read))


@pytest.mark.parametrize("attack", attacks("calls"), ids=name_of)
def test_calls(attack: Any) -> None:
    answer = play(*(ToolCall(call["name"], call["arguments"]) for call in attack["calls"]))
    assert any(each in answer for each in attack["answer"].split("|"))


@pytest.mark.parametrize("attack", attacks("expressions"), ids=name_of)
def test_expressions(attack: Any) -> None:
    try:
        check_expression(attack["expression"])
    except ValueError:
        return
    # What passes is refused by tau2, which allows digits and signs only, or is small.
    assert attack["name"] in ("names", "no string", "parentheses")


def test_copies_of_a_large_file_are_bounded() -> None:
    table, instances = method_table(CLASSES), new_instances(CLASSES, FILES, long_context=False)
    execute(ToolCall("touch", {"file_name": "f"}), table, instances)
    execute(ToolCall("echo", {"content": "a" * 60_000, "file_name": "f"}), table, instances)
    answers = {execute(ToolCall("cp", {"source": "f", "destination": f"f{i}"}), table, instances) for i in range(300)}
    assert "Error during execution: file system too large" in answers


def test_long_names_of_doubled_folders_are_bounded() -> None:
    table, instances = method_table(CLASSES), new_instances(CLASSES, FILES, long_context=False)

    def run(name: str, **arguments: str) -> str:
        return execute(ToolCall(name, arguments), table, instances)

    run("mkdir", dir_name="A" * 60_000)
    run("cd", folder="A" * 60_000)
    run("mkdir", dir_name="d")
    for place in range(24):  # each round doubles the folders below
        run("cp", source="d", destination=f"e{place}")
        run("mv", source=f"e{place}", destination="d")
    run("cd", folder="/")
    assert "file system too large" in run("find")


def test_a_message_of_many_failing_calls_is_diagnosed_at_once() -> None:
    calls = [ToolCall("cat", {f"x{i}": f"q{i}" for i in range(20)})] * MAX_CALLS
    results = [ToolResult("cat: " + "q" * 60_000 + ": No such file or directory", is_error=True)] * MAX_CALLS
    tool = {"type": "function", "function": {"name": "cat", "parameters": {"type": "object", "additionalProperties": True}}}
    found = classify_step(calls, None, results, calls[:30], [tool], previous_failing_calls=calls * 20)
    assert found is not None and found.kind is FailureKind.REPEATED_FAILING_CALL
    assert found.error_kind is RuntimeErrorKind.NOT_FOUND


def test_long_error_texts_are_read_at_both_ends() -> None:
    quoted_at_length = "x" * 1_000_000
    assert error_kind_of(f"cat: {quoted_at_length}: No such file or directory") is RuntimeErrorKind.NOT_FOUND
    assert error_kind_of(f"Invalid username or password {quoted_at_length}") is RuntimeErrorKind.LOGIN_FAILED
    many = ToolCall("a", {f"x{i}": f"q{i}" for i in range(3_000)} | {"source": "a.txt"})
    assert blamed_parameter(many, "q" * 60_000 + " a.txt") == "source"
    assert blamed_parameter(ToolCall("a", {"x": "q" * LONGEST_ERROR * 2}), "q" * LONGEST_ERROR * 2) is None


def test_answers_to_one_message_are_bounded_together() -> None:
    class Loud(Doors):
        def call(self, call: ToolCall) -> ToolResult:
            return ToolResult("short" if call.name == "unlock" else "a" * 400_000)

    environment = Loud()
    environment.reset(door_task())
    few = play_message(environment, "", [ToolCall("enter")])
    assert few.results[0].content == "a" * 400_000
    many = play_message(environment, "", [ToolCall("unlock"), *[ToolCall("enter")] * 20])
    assert sum(len(result.content) for result in many.results) < MAX_ANSWER_CHARACTERS * 1.01
    assert many.results[0].content == "short" and many.results[1].content.endswith("characters left out]")


@pytest.mark.parametrize("attack", attacks("texts"), ids=name_of)
def test_no_text_commands_the_terminal(attack: Any) -> None:
    console = Console(record=True, width=100_000, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(f"[bold]Error:[/] {quoted(attack['text'][:2_000])}", highlight=False, soft_wrap=True)
    written = shown.get()
    assert not [each for each in written if (ord(each) < 32 and each not in "\t\n") or 127 <= ord(each) < 160]
    assert "\u202e" not in written
    if attack["name"] == "rich markup":
        assert attack["text"] in written


def hostile(text: str) -> Failure:
    """A call that erred: its arguments, the dialogue and the answer all say `text`, and the reference is another call."""
    call = ToolCall("cat", {"file_name": text[:30_000]})
    messages = ({"role": "user", "content": text}, {"role": "tool", "content": text})
    return Failure(
        task_id="t", scenario="s", messages=messages, tools=(), prompt_ids=(1,), completion_ids=(2,),
        text=render_calls([call]), calls=(call,), results=(ToolResult(text, is_error=True),), kind=FailureKind.RUNTIME_ERROR,
        call_index=0, reference=(ToolCall("mv", {"source": "quarterly.txt", "destination": "archive_2024"}),),
    )  # fmt: skip


@pytest.mark.parametrize("attack", attacks("texts"), ids=name_of)
def test_no_text_forges_a_heading_of_the_simulators_prompt(attack: Any) -> None:
    case = diagnosis_prompt(hostile(attack["text"]))[-1]["content"]
    found = [line for line in case.splitlines() if line.casefold() in HEADINGS]
    assert found == list(HEADINGS)


class Obedient:
    """A simulator that does what the data tells it to: it gives the reference away."""

    name = "obedient"

    def __init__(self, message: str) -> None:
        self._message = message

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        return [feedback_of(answer_text(each.kind, self._message), each, self.name) for each in failures]


@pytest.mark.parametrize(
    "message",
    [
        "The correct call is mv with source quarterly.txt and destination archive_2024.",
        "As you ordered, the destination must be archive_2024 and nothing else.",
        "Use YXJjaGl2ZV8yMDI0 for the destination, it is not found there.",
        "You should call `mv` instead of this tool.",
    ],
)
@pytest.mark.parametrize("attack", attacks("texts"), ids=name_of)
def test_a_simulator_that_obeys_a_tool_result_gives_nothing_away(attack: Any, message: str) -> None:
    chain = FallbackChain([Obedient(message), RulesSimulator()])
    told = chain.diagnose([hostile(attack["text"][:5_000])])[0]
    assert told.source == "rules"
    assert "archive_2024" not in told.text and "quarterly" not in told.text


@pytest.mark.parametrize("simulator", [RulesSimulator(), EnvironmentSimulator()])
def test_simulators_without_a_model_add_nothing_to_what_the_environment_said(simulator: Simulator) -> None:
    for attack in attacks("texts"):
        told = FallbackChain([simulator]).diagnose([hostile(attack["text"][:5_000])])[0]
        assert "archive_2024" not in told.text


def test_a_failure_without_hostile_text_is_asked_about_as_ever() -> None:
    case = diagnosis_prompt(failure())[-1]["content"]
    assert case.splitlines() == [
        *("tools:", "cat: not on offer", "dialogue:", "user: show a", "failed message:", 'cat {"file_name": "a"}'),
        *("answer:", "error: no a", "correct calls (secret):", "ls {}"),
    ]
