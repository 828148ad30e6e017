"""Step and episode granularity on real BFCL environments: what a failure carries, and how recoveries are judged."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fission_grpo.chat.parsing import render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.fission import build_context
from fission_grpo.recipe import RolloutSection
from fission_grpo.rewards.composite import CompositeReward
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits
from fission_grpo.rollout.policy import Sampling
from fission_grpo.simulators.registry import make_chain
from fission_grpo.tasks.generate import SplitShares, generate_tasks
from fission_grpo.tasks.mix import Mix
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.training.episode import EpisodeTasks
from fission_grpo.training.rollouts import CONTEXT_COLUMN, Rollout
from fission_grpo.training.step import StepTasks
from fission_grpo.types import Completion, CorrectiveContext, Failure, RecoveryTarget, StopReason, ToolCall

FILES = {
    "a.txt": {"type": "file", "content": "hello"},
    "docs": {"type": "directory", "contents": {}},
}
MAKE, ENTER = ToolCall("mkdir", {"dir_name": "talo"}), ToolCall("cd", {"folder": "talo"})
TASK = Task(
    id="t",
    scenario="s",
    classes=("GorillaFileSystem",),
    tools=("cd", "mkdir", "cat", "mv", "ls"),
    config={"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": FILES}}}},
    turns=(Turn(({"role": "user", "content": "Make the folder talo and go there."},), ((MAKE,), (ENTER,))),),
)
STATE = SimpleNamespace(global_step=0)


@pytest.fixture
def steps(chat: ChatFormat) -> StepTasks:
    return StepTasks([TASK], BFCLEnvironment, chat, CompositeReward(), context_tokens=2048)


def said(chat: ChatFormat, *calls: ToolCall) -> list[int]:
    return chat.tokenize(render_calls(calls))


def judged(steps: StepTasks, ids: list[int], instance: int, context: CorrectiveContext | None = None) -> tuple[float, bool]:
    columns: dict[str, Any] = {"instance": [instance], CONTEXT_COLUMN: [context], "trainer_state": STATE}
    (reward,), (outcome,) = steps.reward([ids], **columns), steps.outcome([ids], **columns)
    assert reward is not None
    return reward, outcome


def failure_of(steps: StepTasks, chat: ChatFormat, ids: list[int], instance: int) -> Failure | None:
    messages, tools = steps.prompt({"instance": instance})
    prompt = chat.render(messages, tools)
    row = {"instance": instance}
    mask = (1,) * len(ids)
    return steps.failure(
        Rollout(row, tuple(prompt), tuple(ids), mask, chat.decode(ids), reward=0.0, outcome=False, update=3)
    )


def context_of(chat: ChatFormat, failure: Failure) -> CorrectiveContext:
    (feedback,) = make_chain(["environment", "rules"]).diagnose([failure])
    context = build_context(failure, feedback, chat, 4096)
    assert context is not None
    return context


def test_every_message_that_makes_calls_is_an_instance(steps: StepTasks):
    assert [[call.name for call in instance.reference] for instance in steps.instances] == [["mkdir"], ["cd"]]
    assert steps.dataset()["instance"][:] == [0, 1]


def test_the_end_of_a_turn_is_an_instance_of_some(chat: ChatFormat):
    tasks = [replace(TASK, id=f"t{number}") for number in range(3)]
    steps = StepTasks(tasks, BFCLEnvironment, chat, CompositeReward(), context_tokens=2048)
    ends = [index for index, instance in enumerate(steps.instances) if not instance.reference]
    assert len(ends) == 1
    assert judged(steps, chat.tokenize("Done."), ends[0])[1]
    assert not judged(steps, said(chat, ToolCall("ls", {})), ends[0])[1]


def test_the_reference_is_right_and_silence_is_not(steps: StepTasks, chat: ChatFormat):
    right, outcome = judged(steps, said(chat, MAKE), 0)
    silent, _ = judged(steps, chat.tokenize("Done."), 0)
    assert outcome
    assert right == pytest.approx(5 / 3)
    assert silent < right


def test_an_erring_call_is_executed_and_leaves_the_state(steps: StepTasks, chat: ChatFormat):
    failed = failure_of(steps, chat, said(chat, ToolCall("cd", {"folder": "nowhere"})), 1)
    assert failed is not None
    assert "nowhere" in (failed.error_text or "")
    assert failed.recovery_target is RecoveryTarget.REFERENCE
    assert failed.snapshot == steps.instances[1].snapshot
    context = context_of(chat, failed)
    assert context.feedback.source == "environment"
    assert judged(steps, said(chat, ENTER), 1, context)[1]
    assert not judged(steps, said(chat, ToolCall("cd", {"folder": "docs"})), 1, context)[1]


def test_a_changed_state_is_recovered_by_reaching_the_target(steps: StepTasks, chat: ChatFormat):
    """The right call and then one too many: from the changed state only what leads to S* counts."""
    failed = failure_of(steps, chat, said(chat, ToolCall("cd", {"folder": "docs"})), 0)
    assert failed is None  # mkdir inside docs cannot reach S* in one message
    assert steps.take_counts() == {"unrecoverable_in_one_step": 1}


def test_another_way_to_the_target_state_is_right(steps: StepTasks, chat: ChatFormat):
    detour = said(chat, ToolCall("ls", {}), ENTER)
    assert judged(steps, detour, 1)[1]


def test_malformed_text_is_a_failure_with_deterministic_feedback(steps: StepTasks, chat: ChatFormat):
    failed = failure_of(steps, chat, chat.tokenize("<tool_call>\n{oops}\n</tool_call>"), 0)
    assert failed is not None
    assert failed.format_error is not None
    assert failed.format_error.detail in context_of(chat, failed).feedback.text


class Script:
    """Says the same things in every episode, one a step."""

    def __init__(self, chat: ChatFormat, *texts: str) -> None:
        self._ids = [(*chat.tokenize(text), min(chat.end_ids)) for text in texts]
        self._lengths: dict[int, int] = {}
        self._round = -1

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        self._round += 1
        ids = self._ids[min(self._round, len(self._ids) - 1)]
        return [Completion(ids, (0.0,) * len(ids), StopReason.END) for _ in prompts]


def episode_rollout(chat: ChatFormat, *texts: str, task: Task = TASK) -> Rollout:
    (trajectory,) = play_episodes(
        [task], lambda _: BFCLEnvironment(), Script(chat, *texts), chat, EpisodeLimits(), Sampling()
    )
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


def episodes(chat: ChatFormat, horizon: str = "episode") -> EpisodeTasks:
    return EpisodeTasks([TASK], BFCLEnvironment, chat, CompositeReward(), RolloutSection(), horizon)


def test_the_failure_point_of_an_episode_is_its_first_error_in_the_true_state(chat: ChatFormat):
    made = render_calls([MAKE])
    wrong = render_calls([ToolCall("cd", {"folder": "tolo"})])
    failed = episodes(chat).failure(episode_rollout(chat, made, wrong, "Done."))
    assert failed is not None
    assert failed.calls == (ToolCall("cd", {"folder": "tolo"}),)
    assert failed.reference == (ENTER,)
    assert failed.recovery_target is RecoveryTarget.VERDICT
    assert [message["role"] for message in failed.messages] == ["user", "assistant", "tool"]
    environment = BFCLEnvironment()
    assert failed.snapshot is not None
    environment.restore(failed.snapshot)
    assert not environment.call(ENTER).is_error
    assert environment.next_user_turn() is None
    assert environment.verdict().solved


def test_an_unsolved_episode_without_error_fails_at_its_end(chat: ChatFormat):
    made = render_calls([MAKE])
    failed = episodes(chat).failure(episode_rollout(chat, made, "Done."))
    assert failed is not None
    assert failed.text == "Done."
    assert failed.kind.value == "missing_call"


def test_a_solved_episode_is_no_failure(chat: ChatFormat):
    calls = [MAKE, ENTER]
    rollout = episode_rollout(chat, *(render_calls([call]) for call in calls), "Done.")
    assert rollout.outcome
    assert episodes(chat).failure(rollout) is None


def test_the_message_horizon_scores_the_next_message_alone(chat: ChatFormat):
    tasks = episodes(chat, horizon="message")
    made = render_calls([MAKE])
    failed = tasks.failure(episode_rollout(chat, made, "Done."))
    assert failed is not None
    context = context_of(chat, replace(failed))
    columns: dict[str, Any] = {"task": [0, 0], CONTEXT_COLUMN: [context, context], "trainer_state": STATE}
    ids = [said(chat, ENTER), said(chat, ToolCall("ls", {}))]
    assert tasks.outcome(ids, **columns) == [True, False]


@pytest.mark.parametrize(("horizon", "recovered"), [("turn", [True, False]), ("episode", [False, False])])
def test_the_turn_horizon_asks_for_the_turn_that_went_wrong_alone(
    chat: ChatFormat, horizon: str, recovered: list[bool]
) -> None:
    later = Turn(({"role": "user", "content": "Now make the folder veka."},), ((ToolCall("mkdir", {"dir_name": "veka"}),),))
    task = replace(TASK, turns=(*TASK.turns, later))
    tasks = EpisodeTasks([task], BFCLEnvironment, chat, CompositeReward(), RolloutSection(), horizon)
    wrong = render_calls([ToolCall("cd", {"folder": "tolo"})])
    failed = tasks.failure(episode_rollout(chat, render_calls([MAKE]), wrong, "Done.", "Done.", task=task))
    assert failed is not None
    assert failed.turn == 0
    context = context_of(chat, failed)
    put_right, given_up = Script(chat, render_calls([ENTER]), "Done."), Script(chat, "Done.")
    assert [tasks.recover([context], policy, Sampling())[0] for policy in (put_right, given_up)] == recovered


@pytest.mark.parametrize(("by_turn", "rewards"), [(False, [0.0, 0.0, 1.0]), (True, [0.0, 0.5, 1.0])])
def test_an_episode_earns_its_verdict_or_the_share_of_its_right_turns(
    chat: ChatFormat, by_turn: bool, rewards: list[float]
) -> None:
    veka = ToolCall("mkdir", {"dir_name": "veka"})
    later = Turn(({"role": "user", "content": "Now make the folder veka."},), ((veka,),))
    task = replace(TASK, turns=(*TASK.turns, later))
    tasks = EpisodeTasks([task], BFCLEnvironment, chat, CompositeReward(), RolloutSection(), "episode", by_turn=by_turn)
    right = (render_calls([MAKE]), render_calls([ENTER]), "Done.")
    played = [
        episode_rollout(chat, *messages, task=task).trajectory
        for messages in (["Done.", "Done."], [*right, "Done."], [*right, render_calls([veka]), "Done."])
    ]
    columns: dict[str, Any] = {"task": [0] * 3, CONTEXT_COLUMN: [None] * 3, "trajectory": played, "trainer_state": STATE}
    assert tasks.reward([[]] * 3, **columns) == rewards
    assert tasks.outcome([[]] * 3, **columns) == [False, False, True]


def test_instances_of_generated_tasks_are_right_by_their_own_reference(chat: ChatFormat):
    tasks = generate_tasks(40, 11, BFCLEnvironment(), mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0))
    steps = StepTasks(tasks, BFCLEnvironment, chat, CompositeReward(), context_tokens=2048)
    assert steps.too_long == 0
    for index, instance in enumerate(steps.instances):
        assert judged(steps, said(chat, *instance.reference), index)[1], instance.task.id
