"""The same scripts in tau2 alone: its orchestrator, its user simulator asked over HTTP, its evaluator, its databases."""

from collections.abc import Sequence
from typing import Any

from fission_grpo.environments.tau2.package import package_module
from fission_grpo.tasks.task import Task
from tau2_play.scripts import GOODBYE, Said, official_task


def play_officially(task: Task, script: Sequence[Said], user_url: str, max_steps: int = 200, max_errors: int = 10) -> Any:
    """A `SimulationRun` with its `reward_info`, made as `tau2.run.run_task` makes it.

    Args:
        user_url: base URL of an OpenAI-compatible endpoint that plays the user.
    """
    domain, solo = task.config["domain"], task.config["solo"]
    environment = package_module("registry").registry.get_env_constructor(domain)(solo_mode=solo)
    official, users = official_task(task), package_module("user.user_simulator")
    user_tools = environment.get_user_tools() if environment.user_tools is not None else None
    if solo:
        user = users.DummyUser(tools=user_tools, instructions=str(official.user_scenario))
    else:
        arguments = {"api_base": user_url, "api_key": "none", "temperature": 0.0}
        user = users.UserSimulator(
            tools=user_tools, instructions=str(official.user_scenario), llm="openai/scripted", llm_args=arguments
        )
    simulation = (
        package_module("orchestrator.orchestrator")
        .Orchestrator(
            domain=domain,
            agent=_agent(task, script, environment),
            user=user,
            environment=environment,
            task=official,
            max_steps=max_steps,
            max_errors=max_errors,
            solo_mode=solo,
        )
        .run()
    )
    evaluator = package_module("evaluator.evaluator")
    simulation.reward_info = evaluator.evaluate_simulation(
        simulation=simulation,
        task=official,
        evaluation_type=evaluator.EvaluationType.ALL,
        solo_mode=solo,
        domain=domain,
    )
    return simulation


def facts_of(messages: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What two plays of one script have to agree in: all but times, costs and the ids of calls."""
    return [
        (
            message.role,
            message.content,
            [(call.name, call.arguments, call.requestor) for call in getattr(message, "tool_calls", None) or ()],
            getattr(message, "requestor", None),
            getattr(message, "error", None),
        )
        for message in messages
    ]


def _agent(task: Task, script: Sequence[Said], environment: Any) -> Any:
    message_module, agents = package_module("data_model.message"), package_module("agent.llm_agent")
    remaining = list(script)

    def next_message() -> Any:
        said = remaining.pop(0) if remaining else Said(GOODBYE)
        calls = [
            message_module.ToolCall(id=f"call_{len(remaining)}_{place}", name=call.name, arguments=call.arguments)
            for place, call in enumerate(said.calls)
        ]
        return message_module.AssistantMessage(
            role="assistant", content=said.text or None, tool_calls=calls or None, cost=0.0
        )

    class ScriptedAgent(agents.LLMAgent):
        def generate_next_message(self, message: Any, state: Any) -> tuple[Any, Any]:
            return next_message(), state

    class ScriptedSoloAgent(agents.LLMSoloAgent):
        def generate_next_message(self, message: Any, state: Any) -> tuple[Any, Any]:
            said = next_message()
            return (self._check_if_stop_toolcall(said) if said.is_tool_call() else said), state

    tools = environment.get_tools()
    if task.config["solo"]:
        tools = [*tools, *environment.get_user_tools()]
        return ScriptedSoloAgent(tools=tools, domain_policy=environment.get_policy(), task=official_task(task))
    return ScriptedAgent(tools=tools, domain_policy=environment.get_policy())
