"""Many dialogues on one backend: order, refill, failures, and what a second call plays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.asking import NOT_TRIED, Completion, ContextExceeded, Outcome, Request, patience
from fission_grpo.evaluation.bfcl.dialogue import Dialogue
from fission_grpo.evaluation.bfcl.entries import Entry, choose_entries, load_entries
from fission_grpo.evaluation.bfcl.handlers import QwenFunctionCalling, ToolCalls
from fission_grpo.evaluation.bfcl.play import play
from fission_grpo.evaluation.bfcl.results import ResultFolder

HANDLER = QwenFunctionCalling()
LS = '<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>'


class MemoryBackend:
    """Answers by `reply`, the youngest request first. Remembers how many were under way at most."""

    def __init__(self, reply: Callable[[Request], Outcome], capacity: int = 2) -> None:
        self.capacity = capacity
        self.most = self.asked = 0
        self._reply = reply
        self._waiting: list[tuple[int, Request]] = []

    def submit(self, key: int, request: Request) -> None:
        self._waiting.append((key, request))
        self.most = max(self.most, len(self._waiting))
        self.asked += 1

    def collect(self) -> list[tuple[int, Outcome]]:
        key, request = self._waiting.pop()
        return [(key, self._reply(request))]

    def close(self) -> None:
        pass


def done(_: Request) -> Outcome:
    return Completion("Done.")


def ids(folder: ResultFolder) -> list[str]:
    return [line["id"] for _, line in folder.entries()]


def test_entries_are_played_a_few_at_a_time_and_left_in_order(tmp_path: Path) -> None:
    entries = choose_entries(["base"], 5)
    backend, counted = MemoryBackend(done, capacity=2), list[int]()
    played = play(entries, HANDLER, backend, ResultFolder(tmp_path), lambda: counted.append(1))
    assert backend.most == 2
    assert (played.finished, len(counted), played.failures) == (5, 5, {})
    assert ids(ResultFolder(tmp_path)) == [entry.id for entry in entries]


def test_failures_leave_entries_out_and_a_second_call_plays_only_those(tmp_path: Path) -> None:
    entries = choose_entries(["base"], 6)
    unlucky = str(entries[3].question[0][0]["content"])

    def failing(request: Request) -> Outcome:
        return InfrastructureError("cut") if unlucky in request.prompt else Completion("Done.")

    folder = ResultFolder(tmp_path)
    played = play(entries, HANDLER, MemoryBackend(failing), folder)
    assert played.failures == {entries[3].id: "cut"}
    assert entries[3].id not in ids(folder)
    again = MemoryBackend(done)
    assert play(entries, HANDLER, again, folder).finished == 1
    assert again.asked == len(entries[3].question)
    assert ids(folder) == [entry.id for entry in entries]


def test_an_endpoint_that_is_down_is_not_asked_for_everything(tmp_path: Path) -> None:
    entries = choose_entries(["base"], 100)
    backend = MemoryBackend(lambda _: InfrastructureError("down"), capacity=2)
    played = play(entries, HANDLER, backend, ResultFolder(tmp_path))
    tried = [reason for reason in played.failures.values() if reason != NOT_TRIED]
    assert patience(2) <= len(tried) < patience(2) + backend.capacity
    assert len(played.failures) == 100
    assert ids(ResultFolder(tmp_path)) == []


def test_failures_among_successes_do_not_add_up(tmp_path: Path) -> None:
    outcomes = iter([InfrastructureError("cut"), Completion("Done.")] * 10_000)
    played = play(choose_entries(["base"], 30), HANDLER, MemoryBackend(lambda _: next(outcomes)), ResultFolder(tmp_path))
    assert NOT_TRIED not in played.failures.values()
    assert len(played.failures) > patience(2)


def test_a_prompt_that_does_not_fit_ends_its_entry_as_wrong(tmp_path: Path) -> None:
    backend = MemoryBackend(lambda _: ContextExceeded("the prompt has 9 tokens"))
    play(choose_entries(["base"], 1), HANDLER, backend, ResultFolder(tmp_path))
    [(_, line)] = ResultFolder(tmp_path).entries()
    assert line == {
        "id": "multi_turn_base_0",
        "result": "Error during inference: context exceeded: the prompt has 9 tokens",
    }


def test_a_turn_without_end_is_stopped_after_21_messages() -> None:
    dialogue = Dialogue(load_entries("multi_turn_base")[0], HANDLER, "m")
    messages = 0
    while dialogue.request is not None:
        dialogue.advance(Completion(LS))
        messages += 1
    assert messages == 21
    assert [len(turn) for turn in dialogue.result()["result"]] == [21]
    assert "forced to quit" in json.dumps(dialogue.result()["inference_log"])


def entry_that_adds() -> Entry:
    return next(entry for entry in choose_entries(["miss_func"], 20) if 0 not in entry.withheld)


@pytest.mark.parametrize(("handler", "listed"), [(ToolCalls(), True), (HANDLER, False)])
def test_added_functions_are_listed_only_where_the_handler_lists_them(
    handler: ToolCalls | QwenFunctionCalling, listed: bool
) -> None:
    entry = entry_that_adds()
    [(turn, [added, *_])] = [next(iter(entry.withheld.items()))]
    dialogue = Dialogue(entry, handler, "m")
    seen: list[bool] = []
    while dialogue.request is not None:
        names = [tool["function"]["name"] for tool in dialogue.request.tools]
        head = dialogue.request.prompt.partition("</tools>")[0]
        seen.append(added["name"] in names or f'"name": "{added["name"]}"' in head)
        dialogue.advance(Completion("Done."))
    assert seen == [listed and place >= turn for place in range(len(entry.question))]


def test_a_dialogue_survives_calls_that_are_none() -> None:
    """Arguments that are missing, null or no JSON end the turn, and not the run."""
    for arguments in (None, "", "[1]", "{"):
        dialogue = Dialogue(load_entries("multi_turn_base")[0], ToolCalls(), "m")
        turns = len(dialogue.entry.question)
        call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": arguments}}
        for _ in range(turns):
            dialogue.advance(Completion("", (call,)))
        assert dialogue.request is None
        assert len(dialogue.result()["result"]) == turns
