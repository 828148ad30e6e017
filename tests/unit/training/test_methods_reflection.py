"""Reflect and retry with a scripted policy: what is sampled where, what is trained, what is judged."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from scripted import UNLOCK, CharacterChat, ScriptedPolicy, calling, enter

from fission_grpo.errors import UserError
from fission_grpo.fission import FissionSettings, RecoveryContext
from fission_grpo.fission.context import NO_FEEDBACK, build_context
from fission_grpo.rollout.policy import Sampling
from fission_grpo.training.batch import Batch
from fission_grpo.training.methods import reflection
from fission_grpo.training.methods.base import Scores
from fission_grpo.training.methods.reflection import REFLECT, RETRY, Reflection
from fission_grpo.types import CorrectiveContext, Failure, FailureKind, Feedback, FeedbackLevel, ToolCall, ToolResult

CHAT = CharacterChat()
X = ({"role": "user", "content": "Enter red."},)
ERROR = "the door is locked"
ATTEMPT = calling(enter("red"))


def context_of(kind: RecoveryContext = RecoveryContext.FEEDBACK, call_index: int | None = 0) -> CorrectiveContext:
    failure = Failure(
        task_id="t",
        scenario="s",
        messages=X,
        tools=(),
        prompt_ids=tuple(CHAT.render(X)),
        completion_ids=tuple(map(ord, ATTEMPT)),
        text=ATTEMPT,
        calls=(ToolCall(*enter("red")),) if call_index == 0 else (),
        results=(ToolResult(ERROR, is_error=True),) if call_index == 0 else (),
        kind=FailureKind.RUNTIME_ERROR,
        call_index=call_index,
    )
    feedback = NO_FEEDBACK if kind is RecoveryContext.ATTEMPT else Feedback(ERROR, "environment", FeedbackLevel.RAW)
    context = build_context(failure, feedback, CHAT, 10_000, kind)
    assert context is not None
    return context


def trainer_of(contexts: list[CorrectiveContext] | None, **settings: Any) -> Any:
    engine = SimpleNamespace(settings=FissionSettings(recovery_generations=4, **settings))
    return SimpleNamespace(
        batch=Batch([{}] * 4, 4, contexts=contexts),
        chat=CHAT,
        engine=engine,
        args=SimpleNamespace(generation_batch_size=16),
        accelerator=SimpleNamespace(num_processes=1),
    )


def reflecting(context: str) -> str:
    """Reflects with a call in the text, then retries; siblings differ by nothing."""
    if RETRY in context:
        return calling(UNLOCK)
    assert context.endswith(f"user: {REFLECT}\nassistant: ")
    return f"It was locked. {ATTEMPT}"


def generated(trainer: Any, monkeypatch: pytest.MonkeyPatch, limit: int = 400) -> tuple[dict[str, Any], ScriptedPolicy]:
    policy = ScriptedPolicy(reflecting)
    sampling = Sampling(max_new_tokens=limit, seed=5)

    def policy_of(trainer: Any) -> ScriptedPolicy:
        return policy

    def sampling_of(trainer: Any) -> Sampling:
        return sampling

    monkeypatch.setattr(reflection, "policy_of", policy_of)
    monkeypatch.setattr(reflection, "sampling_of", sampling_of)
    monkeypatch.setattr(reflection, "REFLECTION_TOKENS", 400)

    def sample(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return {"sampled": prompts}

    return Reflection().generate(["?"] * 4, trainer, sample), policy


def test_reflection_and_second_attempt_are_trained_and_nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of([context_of()] * 4)
    output, policy = generated(trainer, monkeypatch)
    for row in (0, 2):
        completion, mask = output["completion_ids"][row], output["env_mask"][row]
        assert len(completion) == len(mask) == len(output["logprobs"][row])
        trained = [token for token, own in zip(completion, mask, strict=True) if own]
        masked = [token for token, own in zip(completion, mask, strict=True) if not own]
        assert CHAT.decode(trained) == f"It was locked. {ATTEMPT}{calling(UNLOCK)}"
        assert CHAT.decode(masked) == f"\nuser: {RETRY}\nassistant: "
        prompt = CHAT.decode(output["prompt_ids"][row])
        assert ERROR in prompt and prompt.endswith(f"user: {REFLECT}\nassistant: ")
        assert tuple(output["prompt_ids"][row] + completion[: -len(output["answer_ids"][row])]) in policy.prompts
    assert trainer.batch.prompt_ids is output["prompt_ids"]


def test_the_second_attempt_stands_at_x_in_every_other_row(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of()
    trainer = trainer_of([context] * 4)
    output, _ = generated(trainer, monkeypatch)
    for row in (1, 3):
        assert output["prompt_ids"][row] == list(context.failure.prompt_ids)
        assert output["completion_ids"][row] == output["answer_ids"][row] == output["answer_ids"][row - 1]
        assert output["env_mask"][row] == [1] * len(output["completion_ids"][row])
        assert CHAT.decode(output["completion_ids"][row]) == calling(UNLOCK)
    assert trainer.batch.copied == [False, True, False, True]
    assert trainer.batch.answers == output["answer_ids"]


def test_both_rounds_have_seeds_and_limits_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _, policy = generated(trainer_of([context_of()] * 4), monkeypatch, limit=500)
    assert [sampling.max_new_tokens for sampling in policy.samplings] == [400, 500]
    assert len({sampling.seed for sampling in policy.samplings}) == 2


@pytest.mark.parametrize("call_index", [0, None])
@pytest.mark.parametrize("kind", [RecoveryContext.FEEDBACK, RecoveryContext.ATTEMPT])
def test_the_request_follows_the_context(kind: RecoveryContext, call_index: int | None) -> None:
    """Up to the request it is the context token for token, without its last words, "assistant: "."""
    context = context_of(kind, call_index)
    asked = reflection.request(context, trainer_of([context] * 4, recovery_context=kind))
    shared = list(context.prompt_ids[: -len("\nassistant: ")])
    assert asked[: len(shared)] == shared
    assert CHAT.decode(asked[len(shared) :]).endswith(f"{REFLECT}\nassistant: ")
    # Behind a feedback that is a user message there is no second one: some templates insist on alternating roles.
    follows_user = call_index is None and kind is RecoveryContext.FEEDBACK
    assert CHAT.decode(asked[len(shared) :]).startswith("\nuser: ") is not follows_user


def test_exploration_is_sampled_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    output, policy = generated(trainer_of(None), monkeypatch)
    assert output == {"sampled": ["?"] * 4}
    assert policy.prompts == []


def test_advantages() -> None:
    # Even rows: rewards 2, 1, 0; mean 1, sample deviation 1. Odd rows: whether the attempt before succeeded.
    rewards, outcomes = [2.0, 2.0, 1.0, 1.0, 0.0, 0.0], [True, True, True, True, False, False]
    group = [Scores(reward, outcome) for reward, outcome in zip(rewards, outcomes, strict=True)]
    advantages = Reflection().advantages(group, recovery=True, update=0)
    assert advantages == pytest.approx([1 / 1.0001, 1.0, 0.0, 1.0, -1 / 1.0001, 0.0])
    assert Reflection().advantages(group, recovery=False, update=0) is None
    broken = Reflection().advantages([Scores(None, False)] * 2 + group[:2] + group[4:], recovery=True, update=0)
    # Left are 2 and 0: mean 1, sample deviation 1.41421.
    assert broken == pytest.approx([0.0, 0.0, 1 / 1.41431, 1.0, -1 / 1.41431, 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "ranks", "name"),
    [
        ({"recovery_generations": 3}, 1, "recovery_generations"),
        ({"recovery_generations": 2}, 1, "recovery_generations"),
        ({"recovery_context": RecoveryContext.PROMPT}, 1, "recovery_context"),
        ({"recovery_fraction": 0.5}, 8, "recovery_fraction"),
    ],
)
def test_groups_that_make_no_pairs_are_said(settings: dict[str, Any], ranks: int, name: str) -> None:
    trainer, chosen = trainer_of(None), {"recovery_generations": 4, **settings}
    trainer.engine.settings = FissionSettings(**cast(dict[str, Any], chosen))
    trainer.accelerator.num_processes = ranks
    with pytest.raises(UserError, match=f"^{name}:"):
        Reflection().begin(trainer)
