"""One conversation in tau2's own `Orchestrator`: the policy's messages are pushed in, all else follows by its rules."""

import copy
import json
import pickle
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fission_grpo.environments.tau2.package import package_module
from fission_grpo.environments.tau2.prepared import PreparedTask
from fission_grpo.environments.tau2.users.base import MOST_CALLS, UserModel, check_reply
from fission_grpo.environments.tau2.world import make_world, pack, registered, same_databases, unpack_into
from fission_grpo.errors import FissionError, InfrastructureError
from fission_grpo.types import Message, ToolCall, Verdict

DONE = "done"
"""The tool with which the agent ends a task in solo mode."""
STOP_TOKEN = "###STOP###"
"""What tau2's solo agent turns a call of `DONE` into."""


class SavedConversation(NamedTuple):
    """What a conversation is restored from. `trajectory` is pickled: most snapshots are never read."""

    databases: bytes
    trajectory: bytes
    step_count: int
    num_errors: int
    termination: str | None


class _PushedAgent:
    """Says what it is given. What the orchestrator asks of an agent, and no more."""

    def __init__(self, solo: bool) -> None:
        self._solo = solo
        self.pending: Any = None

    def generate_next_message(self, _message: Any, state: Any) -> tuple[Any, Any]:
        return self.pending, state

    def get_init_state(self, message_history: Any = None) -> None: ...

    def is_stop(self, message: Any) -> bool:
        """tau2's solo agent ends with a token; other agents leave the end to the user."""
        return self._solo and not message.is_tool_call() and STOP_TOKEN in message.content


class _ModelledUser:
    """tau2's user simulator with another way to ask the model. Stateless: he reads the orchestrator's trajectory."""

    def __init__(self, model: UserModel, prepared: PreparedTask) -> None:
        self._model = model
        self._prepared = prepared
        self.trajectory: list[Any] = []

    def get_init_state(self, message_history: Any = None) -> None: ...

    def generate_next_message(self, _message: Any, state: Any) -> tuple[Any, Any]:
        messages, tools = self._view(), self._prepared.user_tools
        reply = self._model.complete(messages, tools)
        check_reply(reply, tools)
        module = package_module("data_model.message")
        calls = [_user_call(module, call, place) for place, call in enumerate(reply.get("tool_calls") or ())]
        message = module.UserMessage(role="user", content=reply.get("content"), tool_calls=calls or None)
        return message, state

    def _view(self) -> list[Message]:
        """The conversation as tau2 shows it to a user model."""
        base, convert = package_module("user.user_simulator"), package_module("utils.llm_utils").to_litellm_messages
        own = [message for message in self.trajectory if base.is_valid_user_history_message(message)]
        state = base.UserState(system_messages=[], messages=own)
        said = [_without_none(message) for message in convert(state.flip_roles())]
        return [{"role": "system", "content": self._prepared.user_prompt}, *said]


class Conversation:
    """A task in play, in tau2's types.

    Args:
        user: asked for what the user says; not in solo mode.
        max_steps: messages of all speakers, results of calls included, after which tau2 ends a conversation.
        max_errors: calls that err, the user's included, after which it does.
    """

    def __init__(self, prepared: PreparedTask, user: UserModel, max_steps: int, max_errors: int) -> None:
        self.prepared = prepared
        self._agent = _PushedAgent(prepared.solo)
        self._user = _ModelledUser(user, prepared)
        self._orchestrator: Any = package_module("orchestrator.orchestrator").Orchestrator(
            domain=prepared.domain,
            agent=self._agent,
            user=self._user,
            environment=make_world(prepared.domain, prepared.solo),
            task=prepared.official,
            max_steps=max_steps,
            max_errors=max_errors,
            solo_mode=prepared.solo,
        )
        self._roles: Any = package_module("orchestrator.orchestrator").Role

    @property
    def trajectory(self) -> list[Any]:
        """tau2's messages so far. Not to be changed."""
        return self._orchestrator.trajectory

    @property
    def over(self) -> bool:
        return self._orchestrator.done

    @property
    def termination(self) -> str | None:
        """Why the conversation ended, in tau2's words."""
        reason = self._orchestrator.termination_reason
        return None if reason is None else reason.value

    def start(self) -> None:
        """Brings the world into the task's initial state and the conversation to the agent's first message."""
        orchestrator = self._orchestrator
        try:
            if self.prepared.solo:  # `initialize` would ask the agent at once
                self._start_solo()
            else:
                orchestrator.initialize()
        except Exception as error:
            raise InfrastructureError(f"tau2, task {self.prepared.task_id}: {error}") from error
        self._follow()

    def say(self, text: str, calls: Sequence[ToolCall]) -> None:
        """Takes in one message of the agent and goes on until he is to speak again, or the conversation is over."""
        if not text.strip() and not calls:  # tau2's own agents cannot say nothing
            self.end("AGENT_ERROR")
            return
        module = package_module("data_model.message")
        start = len(self.trajectory)
        made: Any = [
            # A copy: tau2's tools may keep their arguments, and must not change the recorded call through them.
            module.ToolCall(id=f"call_{start}_{place}", name=call.name, arguments=copy.deepcopy(call.arguments))
            for place, call in enumerate(calls)
        ]
        if self.prepared.solo and any(call.name == DONE for call in calls):
            text, made = STOP_TOKEN, []
        self._agent.pending = module.AssistantMessage(role="assistant", content=text or None, tool_calls=made or None)
        self._step()
        self._follow()

    def end(self, reason: str) -> None:
        """Ends the conversation for one of tau2's reasons, by its name in `TerminationReason`."""
        if not self.over:
            self._orchestrator.done = True
            self._orchestrator.termination_reason = package_module("data_model.simulation").TerminationReason[reason]

    def verdict(self) -> Verdict:
        """What tau2's evaluator says; the conversation must be over."""
        simulation, evaluator = package_module("data_model.simulation"), package_module("evaluator.evaluator")
        now = datetime.now().isoformat()
        run = simulation.SimulationRun(
            id=self.prepared.task_id,
            task_id=self.prepared.official.id,
            start_time=now,
            end_time=now,
            duration=0.0,
            termination_reason=self._orchestrator.termination_reason,
            messages=self.trajectory,
        )
        try:
            info = evaluator.evaluate_simulation(
                simulation=run,
                task=self.prepared.official,
                evaluation_type=evaluator.EvaluationType.ALL,
                solo_mode=self.prepared.solo,
                domain=registered(self.prepared.domain),
            )
        except Exception as error:
            raise InfrastructureError(f"tau2's evaluator, task {self.prepared.task_id}: {error}") from error
        parts = ", ".join(f"{part.value} {value:g}" for part, value in (info.reward_breakdown or {}).items())
        solved = info.reward >= 1 - 1e-6  # tau2's own tolerance
        return Verdict(solved, (solved,), f"{self.termination}; reward {info.reward:g}{f' ({parts})' if parts else ''}")

    def save(self) -> SavedConversation:
        orchestrator = self._orchestrator
        return SavedConversation(
            databases=pack(orchestrator.environment, self.prepared.domain),
            trajectory=pickle.dumps(self.trajectory, protocol=5),
            step_count=orchestrator.step_count,
            num_errors=orchestrator.num_errors,
            termination=None if orchestrator.termination_reason is None else orchestrator.termination_reason.name,
        )

    def load(self, saved: SavedConversation) -> None:
        """Goes to where a conversation about the same task was saved; it was the agent's turn there, or over."""
        orchestrator = self._orchestrator
        unpack_into(orchestrator.environment, self.prepared.domain, saved.databases)
        orchestrator.trajectory = pickle.loads(saved.trajectory)
        orchestrator.step_count, orchestrator.num_errors = saved.step_count, saved.num_errors
        orchestrator.from_role, orchestrator.to_role = self._roles.ENV, self._roles.AGENT
        orchestrator.done, orchestrator.termination_reason = False, None
        if saved.termination is not None:
            self.end(saved.termination)

    def same_databases(self, saved: SavedConversation) -> bool:
        return same_databases(self._orchestrator.environment, self.prepared.domain, saved.databases)

    def _start_solo(self) -> None:
        orchestrator, initial = self._orchestrator, self.prepared.official.initial_state
        history = list(initial.message_history or ()) if initial else []
        orchestrator.environment.set_state(
            initialization_data=initial.initialization_data if initial else None,
            initialization_actions=initial.initialization_actions if initial else None,
            message_history=history,
        )
        orchestrator.trajectory = history
        orchestrator.from_role, orchestrator.to_role = self._roles.ENV, self._roles.AGENT
        orchestrator.step_count = -1  # where tau2 starts, the first message is no step

    def _follow(self) -> None:
        """Lets user and world speak until it is the agent's turn, with the checks of `Orchestrator.run` after every step."""
        orchestrator, spoken = self._orchestrator, 0
        while not self.over and orchestrator.to_role != self._roles.AGENT:
            spoken += orchestrator.to_role == self._roles.USER
            if spoken > MOST_CALLS:
                raise InfrastructureError(f"the user model made {MOST_CALLS} calls without a word to the agent")
            self._step()

    def _step(self) -> None:
        orchestrator = self._orchestrator
        self._user.trajectory = self.trajectory
        try:
            orchestrator.step()
        except FissionError:
            raise
        except Exception as error:
            raise InfrastructureError(f"tau2, task {self.prepared.task_id}: {error}") from error
        if orchestrator.to_role == self._roles.ENV:
            return
        if orchestrator.step_count >= orchestrator.max_steps:
            self._overrule("MAX_STEPS")
        if orchestrator.num_errors >= orchestrator.max_errors:
            results = (message for message in self.trajectory if message.role == "tool")
            if not any(result.error and result.requestor == "assistant" for result in results):
                raise InfrastructureError(
                    f"the user model made {orchestrator.num_errors} calls that err, and the agent none"
                )
            self._overrule("TOO_MANY_ERRORS")

    def _overrule(self, reason: str) -> None:
        """tau2 lets its limits overrule an end that came with the same step."""
        self._orchestrator.done = False
        self.end(reason)


def _without_none(message: Message) -> Message:
    """Some endpoints refuse `tool_calls: null`; a missing text is null in the protocol."""
    return {key: value for key, value in message.items() if value is not None or key == "content"}


def _user_call(module: Any, call: dict[str, Any], place: int) -> Any:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError) as error:
        raise InfrastructureError("the user model made a call whose arguments are no JSON") from error
    if not isinstance(arguments, dict) or not isinstance(function.get("name"), str):
        raise InfrastructureError("the user model made a call without a name or with arguments that are no object")
    identifier = str(call.get("id") or f"user_{place}")
    return module.ToolCall(id=identifier, name=function["name"], arguments=arguments, requestor="user")
