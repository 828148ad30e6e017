"""CLEANER at step granularity on real BFCL environments, with a scripted policy."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.rollout.policy import Sampling
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.training.batch import Batch
from fission_grpo.training.generation import message_output
from fission_grpo.training.methods import cleaner
from fission_grpo.training.methods.cleaner import Cleaner
from fission_grpo.training.step import StepTasks
from fission_grpo.types import Completion, StopReason, ToolCall

ENTER, NOWHERE = ToolCall("cd", {"folder": "docs"}), ToolCall("cd", {"folder": "dogs"})
FILES = {"docs": {"type": "directory", "contents": {}}}
TASK = Task(
    id="t",
    scenario="s",
    classes=("GorillaFileSystem",),
    tools=("cd", "ls"),
    config={"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": FILES}}}},
    turns=(Turn(({"role": "user", "content": "Go to docs."},), ((ENTER,),)),),
)
WRONG, RIGHT = render_calls([NOWHERE]), render_calls([ENTER])


@pytest.fixture
def steps(chat: ChatFormat) -> StepTasks:
    return StepTasks([TASK], BFCLEnvironment, chat, CompositeReward(), context_tokens=2048)


class Retries:
    """Says one text a round, in every row, and remembers what it read."""

    def __init__(self, chat: ChatFormat, *texts: str) -> None:
        self._chat, self._texts = chat, list(texts)
        self.rounds: list[tuple[list[list[int]], Sampling]] = []

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        self.rounds.append(([list(prompt) for prompt in prompts], sampling))
        completion = said(self._chat, self._texts.pop(0))
        return [completion for _ in prompts]


def said(chat: ChatFormat, text: str) -> Completion:
    ids = (*chat.tokenize(text), chat.turn_end_id)
    return Completion(ids, (-1.0,) * len(ids), StopReason.END)


def cleaned(
    chat: ChatFormat, steps: StepTasks, policy: Retries, monkeypatch: pytest.MonkeyPatch, *texts: str
) -> tuple[list[str], "Counter[str]", list[int]]:
    """What stands at x in the end, the counts, and x."""
    counts: Counter[str] = Counter()

    def count(name: str, value: float) -> None:
        counts[name] += int(value)

    rows = [{"instance": 0} for _ in texts]
    trainer: Any = SimpleNamespace(
        batch=Batch(rows, len(rows)), chat=chat, count=count, args=SimpleNamespace(max_context_tokens=2048)
    )

    def policy_of(trainer: Any) -> Retries:
        return policy

    def sampling_of(trainer: Any) -> Sampling:
        return Sampling(seed=1)

    monkeypatch.setattr(cleaner, "policy_of", policy_of)
    monkeypatch.setattr(cleaner, "sampling_of", sampling_of)
    prompt = chat.render(*steps.prompt(rows[0]))

    def sample(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return message_output([prompt] * len(texts), [said(chat, text) for text in texts])

    output = Cleaner(steps.error).generate([TASK.id] * len(texts), trainer, sample)
    assert output["prompt_ids"] == [prompt] * len(texts)
    for ids, logprobs, mask in zip(output["completion_ids"], output["logprobs"], output["env_mask"], strict=True):
        assert len(ids) == len(logprobs) == sum(mask)
    return [chat.decode(ids) for ids in output["completion_ids"]], counts, prompt


def test_a_message_that_errs_is_replaced_by_its_repair(
    chat: ChatFormat, steps: StepTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first retry errs like the message; the second is right, and keeps the first message's words."""
    policy = Retries(chat, WRONG, f"Sorry . {RIGHT}")
    texts, counts, prompt = cleaned(chat, steps, policy, monkeypatch, f"I go . {WRONG}", RIGHT)
    assert texts == [f"I go . {RIGHT}", RIGHT]
    contexts = [prompts for prompts, _ in policy.rounds]
    assert contexts[0] == contexts[1] and len(contexts[0]) == 1  # the right row is not asked again
    failed = said(chat, f"I go . {WRONG}").ids
    assert contexts[0][0][: len(prompt) + len(failed)] == [*prompt, *failed]
    assert "No such file" in chat.decode(contexts[0][0])
    assert len({sampling.seed for _, sampling in policy.rounds}) == 2
    retried = len(said(chat, WRONG).ids) + len(said(chat, f"Sorry . {RIGHT}").ids)
    replaced = len(failed) - len(said(chat, f"I go . {RIGHT}").ids)
    assert counts == {
        "cleaner/repaired": 1,
        "tokens/exploration_sampled": retried + replaced,
        "tokens/exploration_prefill": 2 * len(contexts[0][0]),
    }


def test_what_three_retries_do_not_repair_stays(chat: ChatFormat, steps: StepTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another error nor giving up is a repair."""
    policy = Retries(chat, WRONG, "Done.", WRONG, RIGHT)
    texts, counts, _ = cleaned(chat, steps, policy, monkeypatch, WRONG)
    assert texts == [WRONG]
    assert len(policy.rounds) == 3
    assert counts["cleaner/repaired"] == 0


def test_malformed_text_is_answered_and_repaired(
    chat: ChatFormat, steps: StepTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Retries(chat, RIGHT)
    texts, _, _ = cleaned(chat, steps, policy, monkeypatch, "<tool_call>\n{\n</tool_call>")
    assert texts == [RIGHT]
    assert "could not be accepted" in chat.decode(policy.rounds[0][0][0])


def test_what_does_not_err_is_never_asked_again(chat: ChatFormat, steps: StepTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong call that the environment accepts is no error, and neither is a message without calls."""
    wrong = render_calls([ToolCall("ls", {})])
    policy = Retries(chat)
    texts, counts, _ = cleaned(chat, steps, policy, monkeypatch, wrong, "Done.")
    assert texts == [wrong, "Done."] and not counts
