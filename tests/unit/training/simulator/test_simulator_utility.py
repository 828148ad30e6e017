"""What feedback does for a policy, with a policy by script that reads it: recoveries, blind answers, secrets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from failing import failure
from failure_strategies import erring, find_tool, without_pattern
from scripted import CharacterChat, ScriptedPolicy, calling

from fission_grpo.chat.template import ChatFormat
from fission_grpo.recipe import Recipe
from fission_grpo.rollout.policy import Sampling
from fission_grpo.training.simulator.sampling import Playground
from fission_grpo.training.simulator.utility import (
    ANSWERED,
    ANSWERED_SECRET,
    RECOVERED,
    blind_answers,
    recoveries,
    told_answer,
    with_secret,
)
from fission_grpo.types import CorrectiveContext, Failure, Feedback, FeedbackLevel, ToolCall, ToolResult

CHAT = cast(ChatFormat, CharacterChat())
RIGHT = calling(("find", {"pattern": "budget"}))


def says(text: str) -> Feedback:
    return Feedback(text, "local", FeedbackLevel.FULL)


@pytest.mark.parametrize(
    ("text", "error", "arguments", "secret"),
    [
        ("find {}", None, {"pattern": "budget"}, True),
        ("find Budget", None, {"pattern": "budget"}, False),  # the policy wrote it itself
        ("find {}", "no budget here", {"pattern": "budget"}, False),  # the environment said it
        ("find 3", None, {"depth": 3}, False),
        ("find {}", None, {}, False),
        ("find {}", None, {"pattern": ""}, False),
        ("find a", None, {"pattern": "a", "depth": 7}, True),
    ],
)
def test_a_secret_is_a_value_that_nobody_showed(
    text: str, error: str | None, arguments: dict[str, Any], secret: bool
) -> None:
    results = () if error is None else (ToolResult(error, is_error=True),)
    given = replace(failure(), text=text, results=results, reference=(ToolCall("find", arguments),))
    assert with_secret(given) is secret


def test_who_is_told_the_answer_can_give_it_and_who_is_not_cannot() -> None:
    given = [without_pattern("a"), without_pattern("b")]
    reader = ScriptedPolicy(lambda context: RIGHT if "budget" in context else calling(("find", {"pattern": "x"})))
    sampling = Sampling(1.0, max_new_tokens=200)
    told = blind_answers(reader, CHAT, given, [told_answer(each) for each in given], sampling, 3)
    silent = blind_answers(reader, CHAT, given, [says("a parameter is missing.")] * 2, sampling, 3)
    assert [record.counts for record in told] == [{ANSWERED: (3, 3), ANSWERED_SECRET: (3, 3)}] * 2
    assert [record.counts for record in silent] == [{ANSWERED: (0, 3), ANSWERED_SECRET: (0, 3)}] * 2
    assert [record.scenario for record in told] == ["a", "b"]
    assert all("show a" not in CHAT.decode(prompt) for prompt in reader.prompts)  # without the dialogue


def test_secrets_are_counted_where_there_are_any() -> None:
    open_ = replace(without_pattern(), text="find budget")
    reader = ScriptedPolicy(lambda _: RIGHT)
    records = blind_answers(reader, CHAT, [open_, without_pattern()], [says("x")] * 2, Sampling(1.0, max_new_tokens=200), 1)
    assert [set(record.counts) for record in records] == [{ANSWERED}, {ANSWERED, ANSWERED_SECRET}]


@pytest.mark.parametrize(
    "answer", ["Done.", "<tool_call>{", RIGHT + RIGHT, calling(("find", {"pattern": "budget", "depth": 1}))]
)
def test_what_is_not_exactly_the_reference_is_no_answer(answer: str) -> None:
    reader = ScriptedPolicy(lambda _: answer)
    (record,) = blind_answers(reader, CHAT, [without_pattern()], [says("x")], Sampling(1.0, max_new_tokens=300), 2)
    assert record.counts[ANSWERED] == (0, 2)


class Recovering:
    """Tasks in which a recovery is right where the feedback names the file."""

    def recover(self, contexts: Sequence[CorrectiveContext], policy: object, sampling: Sampling) -> list[bool]:
        return ["look" in context.feedback.text for context in contexts]


def playground(limit: int = 16_384) -> Playground:
    recipe = Recipe.model_validate({"fission": {"max_context_tokens": limit}})
    return Playground("scripted", cast(Any, ScriptedPolicy(lambda _: "")), CHAT, cast(Any, Recovering()), recipe)


def test_recoveries_are_counted_by_failure() -> None:
    given = [erring(0), erring(1), erring(2)]
    feedbacks = [says("look there"), says("no"), says("look here")]
    records = recoveries(playground(), given, feedbacks, 4, seed=0)
    assert [record.counts for record in records] == [{RECOVERED: (4, 4)}, {RECOVERED: (0, 4)}, {RECOVERED: (4, 4)}]
    assert [record.scenario for record in records] == [each.scenario for each in given]


def test_what_does_not_fit_the_policy_is_never_recovered_from() -> None:
    records = recoveries(playground(60), [erring(0), erring(1)], [says("look " * 40), says("look")], 2, seed=0)
    assert [record.counts for record in records] == [{RECOVERED: (0, 2)}, {RECOVERED: (2, 2)}]


def test_the_reader_sees_the_schema() -> None:
    given: Failure = without_pattern()
    reader = ScriptedPolicy(lambda _: RIGHT)
    blind_answers(reader, CHAT, [given], [says("x")], Sampling(1.0, max_new_tokens=200), 1)
    assert CHAT.decode(reader.prompts[0]).startswith(f"tools: {find_tool()['function']['name']}")
