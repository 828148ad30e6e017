"""tau2's tasks through our environment and episode driver: rewards, errors, limits, both speakers, and forks."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.chat.schema import check_tools
from fission_grpo.environments.base import ComparableEnvironment, ConversationalEnvironment
from fission_grpo.environments.tau2 import DOMAINS, Tau2Environment, tau2_tasks
from fission_grpo.environments.tau2.world import constructor, make_world
from fission_grpo.errors import UserError
from fission_grpo.evaluation.error_analysis import count_failures, tools_by_turn
from fission_grpo.evaluation.metrics import count_metrics
from fission_grpo.tasks.task import Task
from fission_grpo.types import StopReason, ToolCall
from tau2_play.corruption import KINDS, corrupted
from tau2_play.scripts import Said, play, reference_script

SOLO = tau2_tasks("telecom", solo=True)
MODES: dict[str, list[Task]] = {**{domain: tau2_tasks(domain) for domain in DOMAINS}, "solo": SOLO}
UNKNOWN = ToolCall("look_into_the_future", {"days": 3})
DONE = ToolCall("done")


def started(task: Task, max_steps: int = 200) -> Tau2Environment:
    environment = Tau2Environment(max_steps=max_steps)
    environment.reset(task)
    return environment


def say(environment: Tau2Environment, *script: Said) -> None:
    for said in script:
        environment.respond(said.text, said.calls)


def test_it_is_an_environment_of_ours() -> None:
    assert isinstance(Tau2Environment(), ComparableEnvironment)
    assert isinstance(Tau2Environment(), ConversationalEnvironment)
    with pytest.raises(UserError, match="must come first"):
        Tau2Environment().snapshot()


@pytest.mark.parametrize("task", SOLO, ids=[str(number) for number in range(len(SOLO))])
def test_the_reference_of_every_telecom_task_earns_the_reward_alone(task: Task) -> None:
    trajectory = play(task, reference_script(task), Tau2Environment)
    assert trajectory.solved, trajectory.verdict
    assert trajectory.stop_reason is StopReason.COMPLETED


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_reference_earns_the_reward_with_a_user(domain: str) -> None:
    """In telecom he has to do his part with his own tools."""
    tasks = MODES[domain][:: 1 if domain == "telecom" else 5]
    assert [task.id for task in tasks if not play(task, reference_script(task), Tau2Environment).solved] == []


def test_doing_nothing_earns_what_it_is_said_to_earn() -> None:
    """docs/tau.md: 19 of 50, 7 of 114 and none."""
    nothing = (Said("I am afraid that I cannot help you."),)
    for domain, expected in (("airline", 19), ("retail", 7), ("telecom", 0)):
        assert sum(play(task, nothing, Tau2Environment).solved for task in MODES[domain]) == expected
    assert not any(play(task, (Said(calls=(DONE,)),), Tau2Environment).solved for task in SOLO)


@pytest.mark.parametrize("mode", MODES)
def test_the_policy_reads_prompt_and_tools_of_tau2(mode: str) -> None:
    environment = Tau2Environment()
    messages = environment.reset(MODES[mode][0])
    check_tools(environment.tools)
    names = [tool["function"]["name"] for tool in environment.tools]
    assert "transfer_to_human_agents" in names
    assert ("done" in names) is (mode == "solo")
    assert ("toggle_airplane_mode" in names) is (mode == "solo")
    assert [message["role"] for message in messages] == (["system"] if mode == "solo" else ["system", "assistant", "user"])
    assert messages[0]["content"].startswith("<instructions>")
    assert "<policy>" in messages[0]["content"]
    assert ("<ticket>" in messages[0]["content"]) is (mode == "solo")


def test_errors_are_those_of_the_agent() -> None:
    environment = started(MODES["telecom"][0])
    reply = environment.respond("", (UNKNOWN, ToolCall("get_customer_by_phone", {"phone_number": "555-123-2002"})))
    assert [result.is_error for result in reply.results] == [True, False]
    assert reply.results[0].content == "Error: Tool 'look_into_the_future' not found."
    # The user's call errs: he is told, and the agent hears of it from him alone.
    reply = environment.respond("Please do set_network_mode_preference(speed='7g'). Does it help?", ())
    assert reply.results == ()
    assert "The result: Error" in reply.messages[0]["content"]
    last = [message for message in environment.conversation.trajectory if message.role == "tool"][-1]
    assert (last.requestor, last.error) == ("user", True)


def test_a_user_acts_in_his_own_world() -> None:
    environment = started(MODES["telecom"][0])
    before = environment.snapshot()
    reply = environment.respond("Please do toggle_airplane_mode(). Does it help?", ())
    assert [message["role"] for message in reply.messages] == ["user"]
    assert "Airplane Mode is now" in reply.messages[0]["content"]
    assert not environment.same_state(before)
    assert environment.call(ToolCall("toggle_airplane_mode")).is_error  # not the agent's


def test_solo_mode_ends_with_done_and_allows_no_words() -> None:
    environment = started(SOLO[0])
    reply = environment.respond("", (ToolCall("toggle_airplane_mode"), DONE))
    assert reply.over
    assert [result.content for result in reply.results] == ["not executed: the conversation is over", "###STOP###"]
    assert environment.conversation.termination == "agent_stop"
    talking = started(SOLO[0])
    assert talking.respond("Hello, how are you?", ()).over
    assert talking.verdict().detail == "agent_error; reward 0"


def test_saying_nothing_is_the_agents_mistake() -> None:
    environment = started(MODES["retail"][0])
    assert environment.respond("<think>What now?</think>", ()).over
    assert not environment.verdict().solved
    assert environment.conversation.termination == "agent_error"
    assert environment.respond("Hello?", (UNKNOWN,)).results == ()


def test_thinking_is_not_said() -> None:
    environment = started(MODES["retail"][0])
    environment.respond("<think>Is it safe?</think>How can I help?", ())
    spoken = [message.content for message in environment.conversation.trajectory if message.role == "assistant"]
    assert spoken[-1] == "How can I help?"


def test_limits_of_tau2_end_a_conversation_unsolved() -> None:
    erring = started(MODES["retail"][0])
    replies = [erring.respond("", (UNKNOWN,)) for _ in range(10)]
    assert [reply.over for reply in replies] == [False] * 9 + [True]
    assert replies[-1].results[0].is_error
    assert erring.verdict().detail == "too_many_errors; reward 0"
    asking = started(MODES["retail"][0], max_steps=6)
    assert [asking.respond("What else?", ()).over for _ in range(3)] == [False, False, True]
    assert asking.verdict().detail == "max_steps; reward 0"


def test_a_turn_that_the_driver_cuts_is_unsolved() -> None:
    environment = started(MODES["airline"][0])
    assert environment.verdict().turns == ()
    assert environment.next_user_turn() is None
    assert environment.verdict().turns == (False,)
    assert environment.verdict().detail == "max_steps; reward 0"


def test_endless_arithmetic_is_an_error_and_can_be_judged() -> None:
    task = MODES["retail"][0]
    endless = Said(calls=(ToolCall("calculate", {"expression": "9**9**9"}),))
    trajectory = play(task, (endless, *reference_script(task)), Tau2Environment)
    assert trajectory.steps[0].results[0].content == "Error: Expression too large to calculate"
    assert trajectory.solved


def test_refunds_that_double_with_each_cancellation_end() -> None:
    environment = started(MODES["airline"][0])
    reservation = next(iter(make_world("airline").tools.db.reservations))
    cancel = ToolCall("cancel_reservation", {"reservation_id": reservation})
    answers = [result.content for result in environment.respond("", (cancel,) * 40).results]
    assert answers[-1] == "Error: Too many payments to refund"
    assert max(map(len, answers)) < 200_000


def test_a_bill_that_tau2_numbers_at_random_can_be_judged() -> None:
    """Its evaluator plays all calls again and demands equal answers."""
    task = SOLO[0]
    *script, done = reference_script(task)
    refuel = ToolCall("refuel_data", {"customer_id": "C1002", "line_id": "L1004", "gb_amount": 1})
    look = ToolCall("get_customer_by_id", {"customer_id": "C1002"})
    trajectory = play(task, (*script, Said(calls=(refuel, look)), done), Tau2Environment)
    assert '"bill_ids": ["B1004", "B1005", "B00000006"]' in trajectory.steps[-2].results[1].content
    assert trajectory.solved


def test_metrics_and_taxonomy_read_its_episodes() -> None:
    task = MODES["retail"][0]
    trajectory = play(task, (Said(calls=(UNKNOWN,)), *reference_script(task)), Tau2Environment)
    metrics = count_metrics(trajectory, task)
    assert str(metrics["recovery_rate_task"]) == str(metrics["recovery_rate_turn"]) == "1.000 (1/1)"
    failures = count_failures(trajectory, task, tools_by_turn(Tau2Environment(), task))
    assert {kind.value: count for kind, count in failures.items()} == {"unknown_tool": 1}


def test_what_a_task_file_may_say_wrongly() -> None:
    task = MODES["retail"][0]
    for config, expected in (
        ({}, "`domain` and `task` are needed"),
        ({"domain": "retail", "task": "9999"}, "no retail task '9999'"),
        ({"domain": "bank", "task": "1"}, "'bank': no such domain"),
        ({"domain": "retail", "task": "1", "solo": True}, "retail cannot be played without a user"),
    ):
        with pytest.raises(UserError, match=expected):
            Tau2Environment().reset(Task(task.id, task.scenario, task.turns, environment="tau2", config=config))


modes = st.sampled_from(sorted(MODES))


@settings(max_examples=40)
@given(modes, st.integers(0, 49), st.sampled_from(sorted(KINDS)), st.integers(0, 10_000), st.data())
def test_a_fork_goes_on_exactly_as_its_origin(mode: str, index: int, kind: str, seed: int, data: st.DataObject) -> None:
    task = MODES[mode][index]
    others = [call for other in MODES[mode][:10] for call in other.turns[0].calls]
    script = corrupted(reference_script(task), kind, others, seed)
    place = data.draw(st.integers(0, len(script)))
    whole = started(task)
    say(whole, *script[:place])
    snapshot = whole.snapshot()
    say(whole, *script[place:])
    fork, sibling = Tau2Environment(), started(MODES["airline"][0])
    for environment in (fork, sibling):
        environment.restore(snapshot)
        assert environment.matches(snapshot)
        say(environment, Said(calls=(UNKNOWN,)))
        environment.restore(snapshot)
        say(environment, *script[place:])
        assert facts(environment) == facts(whole)
        assert environment.matches(whole.snapshot())
        assert environment.same_state(whole.snapshot())
    if whole.conversation.over:
        assert fork.verdict() == whole.verdict()


def facts(environment: Tau2Environment) -> list[Any]:
    trajectory = environment.conversation.trajectory
    return [(message.role, message.content, getattr(message, "error", None)) for message in trajectory]


@pytest.mark.parametrize("mode", MODES)
def test_milestones_of_the_reference_are_told_apart(mode: str) -> None:
    task = max(MODES[mode][:20], key=lambda task: len(task.turns[0].calls))
    environment = started(task)
    start = environment.snapshot()
    for call in task.turns[0].calls:
        environment.call(call)
    end = environment.snapshot()
    assert environment.matches(start) is environment.same_state(start)
    environment.restore(start)
    assert environment.matches(start)
    assert not environment.matches(end)


def test_the_shared_databases_are_still_as_they_were_loaded() -> None:
    """Runs last of this file's tests, which changed thousands of records."""
    for domain in ("retail", "airline"):
        assert make_world(domain).tools.db.get_hash() == constructor(domain)().get_db_hash()
