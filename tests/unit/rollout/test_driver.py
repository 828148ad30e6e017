"""The driver in the world of doors."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scripted import UNLOCK, CharacterChat, Doors, ScriptedPolicy, calling, careful, door_task, enter, stubborn

from fission_grpo.errors import InfrastructureError
from fission_grpo.rollout.driver import EpisodeLimits, EpisodeStart, play_episodes, stream_episodes
from fission_grpo.rollout.episode import NOT_EXECUTED
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.usage import Usage, usage_of
from fission_grpo.tasks.task import Task
from fission_grpo.types import StopReason, Trajectory

SAMPLING = Sampling(max_new_tokens=300, seed=0)
LIMITS = EpisodeLimits()


def play(policy: ScriptedPolicy, *episodes: Task | EpisodeStart, limits: EpisodeLimits = LIMITS) -> list[Trajectory]:
    return play_episodes(episodes, lambda task: Doors(), policy, CharacterChat(), limits, SAMPLING)


def replies(*texts: str) -> ScriptedPolicy:
    """Says these texts one after the other, then nothing of use."""
    remaining = list(texts)
    return ScriptedPolicy(lambda context: remaining.pop(0) if remaining else "Done.")


def test_a_careful_policy_solves_and_a_stubborn_one_does_not() -> None:
    solved, unsolved = play(ScriptedPolicy(careful), door_task())[0], play(ScriptedPolicy(stubborn), door_task())[0]
    assert solved.solved and solved.stop_reason is StopReason.COMPLETED
    assert [step.erred for step in solved.steps] == [True, False, False, False, False, False]
    assert [step.turn for step in solved.steps] == [0, 0, 0, 0, 1, 1]
    assert solved.verdict is not None and solved.verdict.turns == (True, True)
    assert not unsolved.solved and unsolved.verdict is not None and unsolved.verdict.turns == (False, False)
    assert (solved.task_id, solved.scenario, solved.tags) == ("doors-0", "house-0", ("hidden_hazard",))


def test_sampled_ids_stay_in_every_later_context() -> None:
    trajectory = play(ScriptedPolicy(careful), door_task())[0]
    for step, following in zip(trajectory.steps, trajectory.steps[1:], strict=False):
        grown = (*step.prompt_ids, *step.completion.ids)
        assert following.prompt_ids[: len(grown)] == grown


def test_messages_hold_the_whole_dialogue() -> None:
    trajectory = play(ScriptedPolicy(careful), door_task(doors=["red"]))[0]
    assert [message["role"] for message in trajectory.messages] == [
        *("system", "user", "assistant", "tool", "assistant", "tool", "assistant", "tool", "assistant")
    ]


def test_episodes_in_lock_step_play_as_alone() -> None:
    tasks = [door_task(index, doors) for index, doors in enumerate([["red"], ["red", "blue", "green"], ["blue", "red"]])]
    together = play(ScriptedPolicy(careful), *tasks)
    assert together == [play(ScriptedPolicy(careful), task)[0] for task in tasks]


def test_each_round_has_a_seed_of_its_own() -> None:
    first, second = ScriptedPolicy(careful), ScriptedPolicy(careful)
    play(first, door_task())
    play(second, door_task())
    assert first.samplings == second.samplings
    assert len({sampling.seed for sampling in first.samplings}) == len(first.samplings)


def test_all_calls_are_executed_unless_told_to_stop_at_an_error() -> None:
    text = calling(enter("red"), UNLOCK, enter("red"))
    all_executed = play(replies(text), door_task(doors=["red"]))[0]
    assert [result.is_error for result in all_executed.steps[0].results] == [True, False, False] and all_executed.solved
    stopped = play(replies(text), door_task(doors=["red"]), limits=EpisodeLimits(stop_at_error=True))[0]
    assert [result.is_error for result in stopped.steps[0].results] == [True] and not stopped.solved
    tool_messages = [message["content"] for message in stopped.messages if message["role"] == "tool"]
    assert tool_messages == ['{"error": "the door is locked: unlock first"}', NOT_EXECUTED, NOT_EXECUTED]


def test_malformed_text_ends_the_turn_or_is_answered() -> None:
    ended = play(replies('<tool_call>{"name": "unlock"'), door_task(doors=["red"]))[0]
    assert ended.stop_reason is StopReason.COMPLETED and len(ended.steps) == 1 and ended.steps[0].format_error is not None
    limits = EpisodeLimits(answer_format_errors=True)
    policy = replies('<tool_call>{"name": "unlock"', calling(UNLOCK, enter("red")))
    answered = play(policy, door_task(doors=["red"]), limits=limits)[0]
    error = answered.steps[0].format_error
    assert answered.solved and error is not None
    assert answered.messages[3] == {"role": "user", "content": error.detail}
    assert {step.turn for step in answered.steps} == {0}


def test_the_step_limit_ends_the_episode_and_judges_its_last_turn() -> None:
    policy = ScriptedPolicy(lambda context: calling(UNLOCK))
    cut = play(policy, door_task(), limits=EpisodeLimits(steps_per_turn=3))[0]
    assert cut.stop_reason is StopReason.STEP_LIMIT and len(cut.steps) == 3 and not cut.solved
    once = replies(calling(UNLOCK, enter("red")), *[calling(UNLOCK)] * 9)
    last = play(once, door_task(doors=["red"]), limits=EpisodeLimits(steps_per_turn=3))[0]
    assert last.stop_reason is StopReason.STEP_LIMIT and last.solved


def test_the_step_limit_counts_within_a_turn() -> None:
    trajectory = play(ScriptedPolicy(careful), door_task(doors=["red", "blue"]), limits=EpisodeLimits(steps_per_turn=4))[0]
    assert trajectory.solved and len(trajectory.steps) == 6


def test_the_token_limit_leaves_room_for_a_message() -> None:
    policy = ScriptedPolicy(careful)
    trajectory = play(policy, door_task(), limits=EpisodeLimits(context_tokens=500))[0]
    assert trajectory.stop_reason is StopReason.TOKEN_LIMIT and trajectory.steps and not trajectory.solved
    assert max(map(len, policy.prompts)) + SAMPLING.max_new_tokens <= 500
    nothing = play(policy, door_task(), limits=EpisodeLimits(context_tokens=10))[0]
    assert nothing.stop_reason is StopReason.TOKEN_LIMIT and nothing.steps == ()


def test_a_failing_infrastructure_masks_its_episode_alone() -> None:
    policy = replies(calling(enter("fire")), calling(UNLOCK, enter("red")))
    burnt, fine, broken = play(policy, door_task(0), door_task(1, ["red"]), door_task(2, tags=["broken"]))
    assert (burnt.stop_reason, burnt.verdict) == (StopReason.INFRASTRUCTURE, None)
    assert (broken.stop_reason, broken.verdict, broken.steps) == (StopReason.INFRASTRUCTURE, None, ())
    assert fine.solved


def test_recoveries_go_on_from_a_fork() -> None:
    failed = play(ScriptedPolicy(stubborn), door_task(doors=["red"]))[0]
    point = failed.steps[1]
    starts = []
    for _ in range(2):
        environment = Doors()
        assert point.snapshot is not None
        environment.restore(point.snapshot)
        starts.append(EpisodeStart(door_task(doors=["red"]), environment, failed.messages[:4], point.prompt_ids))
    recovered, given_up = play(replies(calling(UNLOCK, enter("red")), "I can not."), *starts)
    assert recovered.solved and not given_up.solved
    assert recovered.steps[0].prompt_ids == point.prompt_ids
    assert recovered.messages[:4] == failed.messages[:4]


def test_new_tools_enter_the_context_and_sampled_ids_stay() -> None:
    task = door_task()
    late = replace(task, turns=(task.turns[0], replace(task.turns[1], new_tools=("paint",))))
    policy = ScriptedPolicy(careful)
    trajectory = play(policy, late)[0]
    texts = [CharacterChat().decode(step.prompt_ids) for step in trajectory.steps]
    assert [text.split("\n")[0] for text in texts] == ["tools: enter,unlock"] * 4 + ["tools: enter,unlock,paint"] * 2
    assert texts[4].split("\n")[1 : len(texts[3].split("\n")) - 1] == texts[3].split("\n")[1:-1]


def test_steps_are_reported_as_they_happen() -> None:
    seen = []
    tasks = [door_task(0), door_task(1)]
    arguments = (ScriptedPolicy(careful), CharacterChat(), LIMITS, SAMPLING)
    trajectories = play_episodes(
        tasks, lambda task: Doors(), *arguments, on_step=lambda place, step: seen.append((place, step))
    )
    for index, trajectory in enumerate(trajectories):
        assert tuple(step for place, step in seen if place == index) == trajectory.steps


def test_usage_counts_every_token_of_an_episode_once() -> None:
    trajectory = play(ScriptedPolicy(careful), door_task())[0]
    usage = usage_of([trajectory])
    last = trajectory.steps[-1]
    assert usage.sampled_tokens == sum(len(step.completion.ids) for step in trajectory.steps)
    assert usage.prefill_tokens + usage.sampled_tokens == len(last.prompt_ids) + len(last.completion.ids)
    assert usage_of([trajectory] * 3) == usage + usage + usage
    assert usage_of([]) == Usage()


NASTY = [
    '<tool_call>{"name": "__import__(\'os\').system(\'x\')", "arguments": {}}</tool_call>',
    calling(("no_such_tool", {"a": 1})),
    "<tool_call>" + "[" * 5000,
    '<tool_call>{"name": "enter", "name": "enter", "arguments": {}}</tool_call>',
    "\x00" * 50,
    "<tool_call>" * 100,
]


@given(st.lists(st.text() | st.sampled_from(NASTY), max_size=6), st.booleans(), st.booleans())
def test_nothing_a_policy_emits_raises(texts: list[str], stop_at_error: bool, answer: bool) -> None:
    limits = EpisodeLimits(stop_at_error=stop_at_error, answer_format_errors=answer)
    trajectory = play(replies(*texts), door_task(), limits=limits)[0]
    assert trajectory.verdict is not None and trajectory.steps


def test_no_episodes() -> None:
    assert play(ScriptedPolicy(careful)) == []


@given(st.integers(1, 5))
def test_a_stream_plays_every_episode_as_alone(at_once: int) -> None:
    tasks = [door_task(index, ["red", "blue", "green"][: 1 + index % 3]) for index in range(5)]
    policy = ScriptedPolicy(careful)
    streamed = dict(stream_episodes(tasks, lambda task: Doors(), policy, CharacterChat(), LIMITS, SAMPLING, at_once=at_once))
    assert [streamed[place] for place in range(5)] == [play(ScriptedPolicy(careful), task)[0] for task in tasks]


def test_an_episode_that_ends_makes_room_for_the_next() -> None:
    """One door takes 5 messages, three doors more: the third starts while the second is still under way."""
    tasks = [door_task(0, ["red"]), door_task(1, ["red", "blue", "green"]), door_task(2, ["red"])]
    policy = ScriptedPolicy(careful)
    places = [
        place for place, _ in stream_episodes(tasks, lambda _: Doors(), policy, CharacterChat(), LIMITS, SAMPLING, at_once=2)
    ]
    assert places[0] == 0 and set(places) == {0, 1, 2}
    alone = sum(len(play(ScriptedPolicy(careful), task)[0].steps) for task in tasks)
    assert len(policy.prompts) == alone and len(policy.samplings) < alone


def test_episodes_that_fail_at_once_are_told_with_the_reason() -> None:
    def broken(_: Task) -> Doors:
        raise InfrastructureError("no doors today")

    found = dict(
        stream_episodes(
            [door_task(0), door_task(1)], broken, ScriptedPolicy(careful), CharacterChat(), LIMITS, SAMPLING, at_once=1
        )
    )
    assert {trajectory.fault for trajectory in found.values()} == {"no doors today"}
    assert len(found) == 2
