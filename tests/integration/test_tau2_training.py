"""Episodes of tau2 in training and evaluation: the failure point in the true state, recoveries from there, the metrics."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.tau2 import Tau2Environment, tau2_tasks
from fission_grpo.errors import InfrastructureError
from fission_grpo.evaluation.evaluate import evaluate
from fission_grpo.fission.context import NO_FEEDBACK, build_context
from fission_grpo.recipe import RolloutSection
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.rollout.policy import Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.rollouts import Rollout
from fission_grpo.types import Completion, RecoveryTarget, StopReason, ToolCall, Trajectory
from tau2_play.scripts import Said, reference_script

LIMITS = EpisodeLimits(steps_per_turn=200, context_tokens=200_000)
UNKNOWN = ToolCall("look_into_the_future", {"days": 3})


class Reads:
    """Says the same script in every episode."""

    def __init__(self, chat: ChatFormat, script: Sequence[Said]) -> None:
        self._texts = [said.rendered() for said in script]
        self._chat = chat
        self._said = 0

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        text = self._texts[min(self._said, len(self._texts) - 1)]
        self._said += 1
        ids = (*self._chat.tokenize(text), min(self._chat.end_ids))
        return [Completion(ids, (0.0,) * len(ids), StopReason.END) for _ in prompts]


def rollout_of(trajectory: Trajectory) -> Rollout:
    step = trajectory.steps[0]
    return Rollout(
        row={"task": 0},
        prompt_ids=step.prompt_ids,
        completion_ids=step.completion.ids,
        mask=(1,) * len(step.completion.ids),
        text=step.text,
        reward=float(trajectory.solved),
        outcome=trajectory.solved,
        update=0,
        trajectory=trajectory,
    )


def with_error(script: Sequence[Said]) -> list[Said]:
    """Errs in the same message that does the first thing right, with words beside it, and then gives up."""
    first = script[0]
    return [Said("I see to it.", (*first.calls, UNKNOWN)), script[-1]]


CASES: dict[str, Callable[[], Task]] = {
    "telecom, solo": lambda: tau2_tasks("telecom", solo=True)[3],
    "retail": lambda: tau2_tasks("retail")[5],
}


@pytest.mark.parametrize("mode", CASES)
def test_a_failed_episode_is_recovered_from_its_failure_point(mode: str, chat: ChatFormat) -> None:
    task = CASES[mode]()
    script = reference_script(task)
    (failed,) = play_episodes(
        [task], lambda _: Tau2Environment(), Reads(chat, with_error(script)), chat, LIMITS, Sampling(max_new_tokens=512)
    )
    assert not failed.solved
    settings = RolloutSection(steps_per_turn=200, max_context_tokens=200_000)
    tasks = EpisodeTasks([task], Tau2Environment, chat, CompositeReward(), settings, "episode")
    failure = tasks.failure(rollout_of(failed))
    assert failure is not None
    assert failure.kind.value == "unknown_tool"
    assert failure.recovery_target is RecoveryTarget.VERDICT
    assert failure.reference == script[1].calls  # what the reference does next, from the state behind the failed message
    context = build_context(failure, NO_FEEDBACK, chat, 200_000)
    assert context is not None
    sampling = Sampling(max_new_tokens=512)
    assert tasks.recover([context, context], Reads(chat, script[1:]), sampling) == [True, True]
    assert tasks.recover([context], Reads(chat, script[-1:]), sampling) == [False]
    assert failure.snapshot is not None
    environment = Tau2Environment()
    environment.restore(failure.snapshot)
    (spoken,) = [message for message in environment.conversation.trajectory if message.content == "I see to it."]
    assert len(spoken.tool_calls) == len(script[0].calls) + 1


def test_evaluation_counts_its_episodes(chat: ChatFormat) -> None:
    task = CASES["retail"]()
    policy: Any = Reads(chat, [Said(calls=(UNKNOWN,)), *reference_script(task)])
    result = evaluate(policy, chat, [task], lambda _: Tau2Environment(), samples=3, limits=LIMITS, max_new_tokens=512)
    assert {record.stop_reason for record in result.records} == {"completed"}
    assert str(result.metrics["solved"]) == str(result.metrics["recovery_rate_turn"]) == "1.000 (3/3)"
    assert result.failures["unknown_tool"] == 3


def test_a_user_who_fails_stops_no_training(chat: ChatFormat) -> None:
    """His failures are masked episodes; what the trainer asks for besides episodes does without him."""
    task = CASES["retail"]()

    class Away:
        name = "away"

        def complete(self, messages: Any, tools: Any) -> dict[str, Any]:
            raise InfrastructureError("nobody answers")

    def broken() -> Tau2Environment:
        return Tau2Environment(Away())

    tasks = EpisodeTasks([task], broken, chat, CompositeReward(), RolloutSection(), "episode")
    row = {"task": 0}
    assert tasks.prompt(row) == ([{"role": "user", "content": task.id}], [])
    (sampled,) = tasks.sample([row], Reads(chat, reference_script(task)), Sampling())
    assert (sampled.reward, sampled.trajectory is not None and sampled.trajectory.verdict) == (None, None)
    assert tasks.failure(sampled) is None
    (failed,) = play_episodes(
        [task],
        lambda _: Tau2Environment(),
        Reads(chat, with_error(reference_script(task))),
        chat,
        LIMITS,
        Sampling(max_new_tokens=512),
    )
    failure = tasks.failure(rollout_of(failed))
    assert failure is not None
    assert (failure.kind.value, failure.reference) == ("unknown_tool", ())
