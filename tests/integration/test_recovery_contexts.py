"""The ablations of what a recovery sees: where it starts, and how it is judged there (`fission.recovery_context`)."""

from types import SimpleNamespace
from typing import Any

from test_granularities import ENTER, MAKE, TASK, episode_rollout, failure_of, judged, said

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.fission import RecoveryContext, build_context
from fission_grpo.fission.context import NO_FEEDBACK
from fission_grpo.recipe import RolloutSection
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.step import StepTasks
from fission_grpo.types import CorrectiveContext, Failure, RecoveryTarget, ToolCall

STATE: Any = SimpleNamespace(global_step=0)


def context_of(chat: ChatFormat, failed: Failure | None, kind: RecoveryContext) -> CorrectiveContext:
    assert failed is not None
    context = build_context(failed, NO_FEEDBACK, chat, 4096, kind)
    assert context is not None
    return context


def steps_of(chat: ChatFormat, replay: bool) -> StepTasks:
    return StepTasks([TASK], BFCLEnvironment, chat, CompositeReward(), context_tokens=2048, replay=replay)


def test_a_replayed_step_starts_from_the_state_before_its_failure(chat: ChatFormat) -> None:
    """The failed message made another folder. Behind it only the target state would count; x again is judged as x."""
    wrong = said(chat, ToolCall("mkdir", {"dir_name": "tolo"}))
    behind = failure_of(steps_of(chat, replay=False), chat, wrong, 0)
    assert behind is None or behind.recovery_target is RecoveryTarget.STATE
    steps = steps_of(chat, replay=True)
    failed = failure_of(steps, chat, wrong, 0)
    assert failed is not None
    assert failed.recovery_target is RecoveryTarget.REFERENCE
    assert failed.snapshot == steps.instances[0].snapshot
    context = context_of(chat, failed, RecoveryContext.PROMPT)
    assert list(context.prompt_ids) == chat.render(*steps.prompt({"instance": 0}))
    assert judged(steps, said(chat, MAKE), 0, context)[1]
    assert not judged(steps, wrong, 0, context)[1]


def test_what_could_not_be_recovered_can_be_replayed(chat: ChatFormat) -> None:
    wrong = said(chat, ToolCall("cd", {"folder": "docs"}))
    steps = steps_of(chat, replay=True)
    assert failure_of(steps, chat, wrong, 0) is not None
    assert steps.take_counts() == {}


def test_a_replayed_episode_goes_on_from_before_the_failure(chat: ChatFormat) -> None:
    """tau_err went into docs, without an error: a recovery from there and one from before it start in different folders."""
    astray = render_calls([ToolCall("cd", {"folder": "docs"}), ToolCall("cd", {"folder": "nowhere"})])
    rollout = episode_rollout(chat, render_calls([MAKE]), astray, "Done.")
    found: dict[bool, Failure] = {}
    for replay in (False, True):
        tasks = EpisodeTasks([TASK], BFCLEnvironment, chat, CompositeReward(), RolloutSection(), "episode", replay)
        failed = tasks.failure(rollout)
        assert failed is not None
        found[replay] = failed
    environment = BFCLEnvironment()
    for replay, solved in ((False, False), (True, True)):
        snapshot = found[replay].snapshot
        assert snapshot is not None
        environment.restore(snapshot)
        assert environment.call(ENTER).is_error is not solved
        environment.next_user_turn()
        assert environment.verdict().solved is solved
    assert rollout.trajectory is not None
    assert found[True].snapshot == rollout.trajectory.steps[1].snapshot
    context = context_of(chat, found[True], RecoveryContext.PROMPT)
    assert context.prompt_ids == rollout.trajectory.steps[1].prompt_ids


def test_an_attempt_without_feedback_is_still_judged_behind_it(chat: ChatFormat) -> None:
    steps = steps_of(chat, replay=False)
    failed = failure_of(steps, chat, said(chat, ToolCall("cd", {"folder": "nowhere"})), 1)
    context = context_of(chat, failed, RecoveryContext.ATTEMPT)
    assert "nowhere" in chat.decode(context.prompt_ids)
    assert "No such file" not in chat.decode(context.prompt_ids)
    assert judged(steps, said(chat, ENTER), 1, context)[1]
