"""A task in the official package's own `Env`, with data shared copy-on-write."""

import copy
import hashlib
import pickle
from functools import cache
from typing import Any, NamedTuple

from fission_grpo.environments.tau.package import tau_module
from fission_grpo.environments.tau2.arithmetic import check_expression
from fission_grpo.environments.tau2.payments import check_payments
from fission_grpo.environments.tau2.tables import Pristine, SharedTable
from fission_grpo.environments.tau2.users.base import UserModel, check_reply
from fission_grpo.errors import FissionError, InfrastructureError, UserError
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Tool, ToolCall, ToolResult, Verdict

GREETING = "Hi! How can I help you today?"
"""What the official package's user simulator answers first; the policy does not see it."""
RESPOND = "respond"
"""The official package's action that speaks to the user."""

Data = dict[str, SharedTable]


class SavedGame(NamedTuple):
    """What a game is restored from. `state` is pickled: changes of the data, actions and the user's messages."""

    state: bytes
    reward: float | None


@cache
def official_env(domain: str, split: str) -> Any:
    """The official package's environment, of which games are shallow copies."""
    try:
        return tau_module("envs").get_env(domain, "human", "", split, task_index=0)
    except FileNotFoundError as error:
        raise UserError(
            f"tau_bench has no data ({error.filename}); install it from a clone: `pip install -e tau-bench`"
        ) from error


class OfficialGame:
    """One task, played by `Env.step` and rewarded by `Env.calculate_reward`."""

    def __init__(self, task: Task, user: UserModel) -> None:
        domain, split, index = (task.config[key] for key in ("domain", "split", "index"))
        self._domain: str = domain
        self._env: Any = copy.copy(official_env(domain, split))
        if not 0 <= index < len(self._env.tasks):
            raise UserError(f"task {task.id}, field config.index: {index} is not among the {len(self._env.tasks)} tasks")
        self._index: int = index
        self._env.data_load_func = lambda: {name: SharedTable(table) for name, table in _tables(domain).items()}
        self._env.get_data_hash = lambda: _hash(self._data)
        self._user = OfficialUser(user)
        self._env.user = self._user
        self._reward: float | None = None

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(self._env.tools_info)

    @property
    def over(self) -> bool:
        return self._reward is not None

    def start(self) -> list[Message]:
        reset = self._env.reset(task_index=self._index)
        return [{"role": "system", "content": self._env.wiki}, {"role": "user", "content": reset.observation}]

    def call(self, call: ToolCall) -> ToolResult:
        try:
            if call.name == "calculate":
                check_expression(call.arguments.get("expression"))
            if call.name == "cancel_reservation":
                check_payments(self._payments(call.arguments.get("reservation_id")))
        except ValueError as error:
            return ToolResult(f"Error: {error}", is_error=True)
        if call.name == RESPOND:  # to the official package it is no tool, but a name of its own
            return ToolResult(f"Unknown action {RESPOND}", is_error=True)
        observation = self._step(call.name, copy.deepcopy(call.arguments))
        return ToolResult(observation, is_error=observation.startswith(("Error", "Unknown action")))

    def _payments(self, reservation_id: object) -> list[Any]:
        reservations = self._data.get("reservations", {})
        if not isinstance(reservation_id, str) or reservation_id not in reservations:
            return []
        return reservations[reservation_id]["payment_history"]

    def say(self, text: str) -> str:
        return self._step(RESPOND, {"content": text})

    def end(self) -> None:
        """Without the user's stop there is no reward."""
        self._reward = self._reward or 0.0

    def verdict(self) -> Verdict:
        solved = self._reward == 1.0
        return Verdict(solved, (solved,), f"reward {self._reward:g}")

    def save(self) -> SavedGame:
        changes = {name: (table.own(), table.missing()) for name, table in self._data.items()}
        actions = [(action.name, action.kwargs) for action in self._env.actions]
        return SavedGame(pickle.dumps((changes, actions, self._user.messages), protocol=5), self._reward)

    def load(self, saved: SavedGame) -> None:
        changes, actions, self._user.messages = pickle.loads(saved.state)
        action_type = tau_module("types").Action
        self._env.task_index, self._env.task = self._index, self._env.tasks[self._index]
        self._env.data = self._env.data_load_func()
        for name, table in self._data.items():
            table.overlay(*changes[name])
        self._env.actions = [action_type(name=name, kwargs=arguments) for name, arguments in actions]
        self._reward = saved.reward

    def same_databases(self, saved: SavedGame) -> bool:
        theirs = self._env.data_load_func()
        for name, table in theirs.items():
            table.overlay(*pickle.loads(saved.state)[0][name])
        return self._data == theirs

    @property
    def _data(self) -> Data:
        return self._env.data

    def _step(self, name: str, arguments: dict[str, Any]) -> str:
        try:
            response = self._env.step(tau_module("types").Action(name=name, kwargs=arguments))
        except FissionError:
            raise
        except Exception as error:
            raise InfrastructureError(f"tau_bench, {self._domain} task {self._index}: {error}") from error
        if response.done:
            self._reward = float(response.reward)
        return str(response.observation)


class OfficialUser:
    """The official package's user simulator with another way to ask the model."""

    def __init__(self, model: UserModel) -> None:
        self._model = model
        self.messages: list[Message] = []

    def reset(self, instruction: str | None = None) -> str:
        prompt = tau_module("envs.user").LLMUserSimulationEnv.build_system_prompt(None, instruction)
        self.messages = [{"role": "system", "content": prompt}]
        return self.step(GREETING)

    def step(self, content: str) -> str:
        self.messages.append({"role": "user", "content": content})
        reply = self._model.complete(self.messages, ())
        check_reply(reply, ())
        self.messages.append({"role": "assistant", "content": reply["content"]})
        return str(reply["content"])

    def get_total_cost(self) -> float:
        return 0.0


@cache
def _tables(domain: str) -> dict[str, Pristine]:
    return {name: Pristine(table, _text) for name, table in official_env(domain, "test").data.items()}


def _text(record: Any) -> str:
    return repr(tau_module("envs.base").to_hashable(record))


def _hash(data: Data) -> str:
    """What `Env.get_data_hash` gives: the hash of nested tuples as Python writes them."""
    tables = {name: _pairs(table.texts()) for name, table in data.items()}
    return hashlib.sha256(_pairs(tables).encode()).hexdigest()


def _pairs(texts: dict[str, str]) -> str:
    """A tuple of (key, value) pairs sorted by key, of values that are written already."""
    pairs = [f"({key!r}, {texts[key]})" for key in sorted(texts)]
    return f"({pairs[0]},)" if len(pairs) == 1 else f"({', '.join(pairs)})"
