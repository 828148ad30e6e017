"""What demonstrations show, and which of their tokens are learnt."""

from collections import Counter

from transformers import PreTrainedTokenizerFast

from fission_grpo.bundled.demonstrations import DONE, demonstrations
from fission_grpo.bundled.examples import CONTEXT_WEIGHT, Demonstration, encode
from fission_grpo.chat.parsing import parse_message
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall


def _first_call(demonstration: Demonstration) -> ToolCall | None:
    message = demonstration.messages[1]
    for call in message.get("tool_calls", []):
        return ToolCall(call["function"]["name"], call["function"]["arguments"])
    return None


def test_they_are_reproducible(tasks: list[Task], shown: list[Demonstration]) -> None:
    assert list(demonstrations(tasks, BFCLEnvironment())) == shown


def test_hidden_hazards_are_always_met_carelessly(tasks: list[Task], shown: list[Demonstration]) -> None:
    hidden = [
        (task, demonstration)
        for task, demonstration in zip(tasks, shown, strict=True)
        if "hidden_hazard" in task.tags and any((slip.turn, slip.step) == (0, 0) for slip in task.careless)
    ]
    assert hidden
    assert all(_first_call(demonstration) in [slip.call for slip in task.careless] for task, demonstration in hidden)


def test_most_mistakes_are_not_recovered_from_but_some_are(tasks: list[Task], shown: list[Demonstration]) -> None:
    ends = Counter[bool]()
    for task, demonstration in zip(tasks, shown, strict=True):
        turn, *later = task.turns
        if later or "hidden_hazard" not in task.tags:
            continue
        calls = [
            ToolCall(call["function"]["name"], call["function"]["arguments"])
            for message in demonstration.messages
            for call in message.get("tool_calls", [])
        ]
        reference = turn.calls
        ends[tuple(calls[-len(reference) :]) == reference] += 1
    assert 0 < ends[True] < ends[False]


def test_every_demonstration_ends_a_turn(shown: list[Demonstration]) -> None:
    assert all(demonstration.messages[-1] == {"role": "assistant", "content": DONE} for demonstration in shown)


def test_only_the_assistant_is_learnt_and_spoilt_calls_are_not(
    tokenizer: PreTrainedTokenizerFast, shown: list[Demonstration]
) -> None:
    assert any(demonstration.unlearned for demonstration in shown)
    for demonstration in shown:
        example = encode(demonstration, tokenizer)
        learnt = [token for token, weight in zip(example.ids, example.weights, strict=True) if weight == 1.0]
        messages = str(tokenizer.decode(learnt)).split("<|end|>")[:-1]
        expected = [
            index
            for index, message in enumerate(demonstration.messages)
            if message["role"] == "assistant" and index not in demonstration.unlearned
        ]
        assert len(messages) == len(expected)
        assert set(example.weights) <= {1.0, CONTEXT_WEIGHT}
        for text, index in zip(messages, expected, strict=True):
            calls = parse_message(text).calls
            assert len(calls) == len(demonstration.messages[index].get("tool_calls", []))
