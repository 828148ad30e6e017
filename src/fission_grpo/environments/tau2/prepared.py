"""What is the same for every episode of a task: its official form, prompts and tools."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from fission_grpo.environments.tau2.package import check_domain, official_tasks, package_module
from fission_grpo.environments.tau2.world import SHARED, constructor
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Tool

SOLO_DOMAINS = frozenset({"telecom"})
"""Domains that can be played without a user: the task has a ticket, and the agent the user's tools."""


@dataclass(frozen=True)
class PreparedTask:
    """A task in tau2's form.

    Attributes:
        official: `tau2.data_model.tasks.Task`.
        system: what the policy reads first: tau2's instruction and the domain's policy, in solo mode the ticket too.
        tools: the policy's.
        user_prompt: what a user model reads first; empty in solo mode.
        user_tools: the user's.
    """

    task_id: str
    domain: str
    solo: bool
    official: Any
    system: Message
    tools: tuple[Tool, ...]
    user_prompt: str
    user_tools: tuple[Tool, ...]


def prepare(task: Task) -> PreparedTask:
    """Finds the official form of a task.

    Raises:
        UserError: tau2 is not installed as it must be, or its task file has no such task.
    """
    domain, official_id, solo = (task.config.get(key) for key in ("domain", "task", "solo"))
    if not isinstance(domain, str) or not isinstance(official_id, str):
        raise UserError(f"task {task.id}, field config: found {sorted(task.config)}; `domain` and `task` are needed")
    check_domain(domain)
    if solo and domain not in SOLO_DOMAINS:
        raise UserError(f"task {task.id}, field config.solo: {domain} cannot be played without a user; telecom can")
    if official_id not in official_tasks(domain):
        raise UserError(f"task {task.id}, field config.task: the installed tau2 has no {domain} task {official_id!r}")
    initial = official_tasks(domain)[official_id].initial_state
    if domain in SHARED and initial is not None and initial.initialization_data is not None:
        raise UserError(f"task {task.id}: its own data in the shared databases of {domain} are not supported")
    return _prepared(task.id, domain, official_id, bool(solo))


@cache
def _prepared(task_id: str, domain: str, official_id: str, solo: bool) -> PreparedTask:
    official = official_tasks(domain)[official_id]
    policy, tools, user_tools = _domain(domain, solo)
    agent = package_module("agent.llm_agent")
    if solo:
        instruction = agent.AGENT_SOLO_INSTRUCTION.format(
            stop_function_name=agent.LLMSoloAgent.STOP_FUNCTION_NAME, stop_token=agent.LLMSoloAgent.STOP_TOKEN
        )
        system = agent.SYSTEM_PROMPT_SOLO.format(agent_instruction=instruction, domain_policy=policy, ticket=official.ticket)
        user_prompt = ""
    else:
        system = agent.SYSTEM_PROMPT.format(agent_instruction=agent.AGENT_INSTRUCTION, domain_policy=policy)
        simulator = package_module("user.user_simulator").UserSimulator
        user = simulator(tools=list(user_tools) or None, instructions=str(official.user_scenario), llm="asked by us")
        user_prompt = user.system_prompt
    message = {"role": "system", "content": system}
    return PreparedTask(task_id, domain, solo, official, message, tools, user_prompt, user_tools)


@cache
def _domain(domain: str, solo: bool) -> tuple[str, tuple[Tool, ...], tuple[Tool, ...]]:
    """The policy text, the agent's tools and the user's."""
    world = constructor(domain)(solo_mode=solo)
    tools = list(world.get_tools())
    user_tools = list(world.get_user_tools()) if world.user_tools is not None else []
    if solo:
        tools, user_tools = [*tools, *user_tools, package_module("environment.tool").as_tool(done)], []
    schemas = ([tool.openai_schema for tool in each] for each in (tools, user_tools))
    own, users = (tuple(each) for each in schemas)
    return world.get_policy(), own, users


def done() -> str:
    """Call this function when you are done with the task."""
    return "###STOP###"
