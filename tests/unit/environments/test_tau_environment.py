"""TAU-Bench's protocol: over tau2's tasks, labelled so, and with the official package where it is installed."""

from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.chat.schema import check_tools
from fission_grpo.environments.base import ComparableEnvironment, ConversationalEnvironment
from fission_grpo.environments.tau import DOMAINS, Mode, TauEnvironment, mode, tau_provenance, tau_tasks
from fission_grpo.environments.tau.environment import NOT_EXECUTED
from fission_grpo.environments.tau.official import OfficialUser
from fission_grpo.environments.tau.package import tau_module
from fission_grpo.environments.tau2 import ScriptedUser
from fission_grpo.environments.tau2.package import official_tasks
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall
from tau2_play.corruption import KINDS, corrupted
from tau2_play.scripts import GOODBYE, Said, Script

OFFICIAL = find_spec("tau_bench") is not None
TASKS = {domain: tau_tasks(domain) for domain in DOMAINS}
UNKNOWN = ToolCall("look_into_the_future", {"days": 3})
TRANSFER = ToolCall("transfer_to_human_agents", {"summary": "He is angry."})

without_official = pytest.mark.skipif(OFFICIAL, reason="tests of the mode without the official package")
with_official = pytest.mark.skipif(not OFFICIAL, reason="needs the official package, which is on no registry")


def outputs(task: Task) -> list[str]:
    """What the user is to be told."""
    if mode() is Mode.OFFICIAL:
        return list(official_task(task).outputs)
    return official_tasks(task.config["domain"])[task.config["task"]].evaluation_criteria.communicate_info or []


def official_task(task: Task) -> Any:
    return official_env(task).tasks[task.config["index"]]


def official_env(task: Task) -> Any:
    return tau_module("envs").get_env(task.config["domain"], "human", "", task.config["split"], task_index=0)


def reference(task: Task) -> Script:
    calls = [Said(calls=(call,)) for call in task.turns[0].calls]
    return (*calls, Said(f"This is it: {'; '.join(outputs(task)) or 'all is done'}."))


def started(task: Task, max_steps: int = 30) -> TauEnvironment:
    environment = TauEnvironment(max_steps=max_steps)
    environment.reset(task)
    return environment


def say(environment: TauEnvironment, script: Script) -> list[tuple[str, ...]]:
    """Plays a script to its end, or to that of the task; returns all that was answered."""
    heard: list[tuple[str, ...]] = []
    for said in script:
        reply = environment.respond(said.text, said.calls)
        answers = [result.content for result in reply.results] + [message["content"] for message in reply.messages]
        heard.append(tuple(answers))
        if reply.over:
            break
    return heard


def test_it_is_an_environment_of_ours() -> None:
    assert isinstance(TauEnvironment(), ComparableEnvironment)
    assert isinstance(TauEnvironment(), ConversationalEnvironment)


@pytest.mark.parametrize(("domain", "idle"), [("retail", 7), ("airline", 19)])
def test_the_reference_earns_the_reward_and_doing_nothing_what_is_said(domain: str, idle: int) -> None:
    unsolved: list[str] = []
    nothing = 0
    for task in TASKS[domain]:
        environment = started(task)
        assert len(task.turns[0].calls) < 30
        say(environment, reference(task))
        unsolved += [] if environment.verdict().solved else [task.id]
        environment.reset(task)
        say(environment, (Said("I am afraid that I cannot help you."),))
        nothing += environment.verdict().solved
    assert (unsolved, nothing) == ([], idle)


@without_official
def test_the_mode_is_said_wherever_a_score_is() -> None:
    assert mode() is Mode.COMPATIBLE
    for domain in DOMAINS:
        assert "v1-compatible" in tau_provenance(domain)["mode"]
        assert all("v1-compatible" in task.tags and "compatible" in task.id for task in TASKS[domain])
    with pytest.raises(UserError, match="only `test` is there without the official package"):
        tau_tasks("retail", "train")
    official = Task(
        "a", "a", TASKS["retail"][0].turns, config={"mode": "tau-bench", "domain": "retail", "split": "test", "index": 0}
    )
    with pytest.raises(UserError, match="official package is not installed; `pip install git"):
        TauEnvironment().reset(official)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_message_makes_one_call_or_speaks(domain: str) -> None:
    environment = TauEnvironment()
    messages = environment.reset(TASKS[domain][0])
    check_tools(environment.tools)
    assert [message["role"] for message in messages] == ["system", "user"]
    calculate = ToolCall("calculate", {"expression": "1 + 1"})
    reply = environment.respond("", (calculate, UNKNOWN))
    assert [result.content for result in reply.results] == ["2.0", NOT_EXECUTED]
    assert environment.call(UNKNOWN).is_error
    assert environment.call(ToolCall("calculate", {"expression": "9**9**9"})).is_error
    assert environment.call(ToolCall("respond", {"content": "hello"})).is_error
    assert not environment.respond("Could you tell me more?", ()).over


def test_thirty_messages_a_transfer_and_silence_end_a_task() -> None:
    task = TASKS["retail"][0]
    asking = started(task)
    assert [asking.respond("", (UNKNOWN,)).over for _ in range(30)] == [False] * 29 + [True]
    assert not asking.verdict().solved
    assert asking.respond("Hello?", ()).results == ()
    transferred = started(task)
    assert transferred.respond("", (TRANSFER,)).over
    assert not transferred.verdict().solved
    silent = started(task)
    assert silent.respond("<think>Hm.</think>", ()).over
    cut = started(task)
    assert cut.verdict().turns == ()
    cut.next_user_turn()
    assert cut.verdict().turns == (False,)


def test_a_user_who_says_nothing_is_an_infrastructure_failure() -> None:
    class Silent:
        name = "silent"

        def complete(self, messages: Any, tools: Any) -> dict[str, Any]:
            return {"role": "assistant", "content": ""}

    with pytest.raises(InfrastructureError, match="said nothing"):
        TauEnvironment(Silent()).reset(TASKS["airline"][0])


@settings(max_examples=25)
@given(st.sampled_from(DOMAINS), st.integers(0, 49), st.sampled_from(sorted(KINDS)), st.integers(0, 10_000), st.data())
def test_a_fork_goes_on_exactly_as_its_origin(domain: str, index: int, kind: str, seed: int, data: st.DataObject) -> None:
    task = TASKS[domain][index]
    others = [call for other in TASKS[domain][:10] for call in other.turns[0].calls]
    script = corrupted(reference(task), kind, others, seed)
    place = data.draw(st.integers(0, len(script)))
    whole = started(task)
    say(whole, script[:place])
    snapshot = whole.snapshot()
    rest = script[place:]
    heard = say(whole, rest)
    for fork in (TauEnvironment(), started(TASKS["airline"][0])):
        fork.restore(snapshot)
        assert fork.matches(snapshot)
        assert say(fork, rest) == heard
        assert fork.matches(whole.snapshot())
        assert fork.verdict() == whole.verdict()


@with_official
@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_script_ends_as_in_the_official_package(domain: str, kind: str) -> None:
    number = sorted(KINDS).index(kind)
    task = TASKS[domain][number * 2]
    others = [call for other in TASKS[domain] for call in other.turns[0].calls]
    script = (*corrupted(reference(task), kind, others, number), *[Said(GOODBYE)] * 30)
    environment = started(task)
    heard = say(environment, script)
    env = official_env(task)
    env.user = OfficialUser(ScriptedUser())
    env.reset(task_index=task.config["index"])
    expected: list[tuple[str, ...]] = []
    reward = 0.0
    for said in script[:30]:
        call = said.calls[0] if said.calls else ToolCall("respond", {"content": said.text})
        response = env.step(tau_module("types").Action(name=call.name, kwargs=dict(call.arguments)))
        expected.append((response.observation, *[NOT_EXECUTED] * (len(said.calls) - 1)))
        reward = response.reward
        if response.done:
            break
    assert heard == expected
    assert environment.verdict().solved == (reward == 1.0)
