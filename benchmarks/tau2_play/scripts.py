"""What a scripted agent says in a task, and how this project plays it: through the episode driver, a message at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fission_grpo.chat.parsing import parse_message, render_calls
from fission_grpo.environments.tau2 import Tau2Environment
from fission_grpo.environments.tau2.package import official_tasks
from fission_grpo.rollout.driver import play_episodes
from fission_grpo.rollout.episode import EpisodeLimits, EpisodeStart
from fission_grpo.rollout.policy import Sampling
from fission_grpo.tasks.task import Task
from fission_grpo.types import Completion, Message, StopReason, Tool, ToolCall, Trajectory

LIMITS = EpisodeLimits(steps_per_turn=10_000, context_tokens=1_000_000)
"""No limits but tau2's own."""
GOODBYE = "Goodbye."
"""What an agent says whose script is at its end."""


@dataclass(frozen=True)
class Said:
    """One message of the agent."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()

    def rendered(self) -> str:
        """As a policy writes it."""
        return "\n".join(part for part in (self.text, render_calls(self.calls)) if part)


Script = tuple[Said, ...]


def official_task(task: Task) -> Any:
    """The task in tau2's form."""
    return official_tasks(task.config["domain"])[task.config["task"]]


def closing(task: Task) -> Said:
    """How an agent ends: with `done` where there is no user, else by saying what the task wants the user to learn."""
    if task.config["solo"]:
        return Said(calls=(ToolCall("done"),))
    information = official_task(task).evaluation_criteria.communicate_info or ["all is done"]
    return Said(f"This is what you asked for: {'; '.join(information)}.")


def reference_script(task: Task) -> Script:
    """The task's reference, one message an action; what the user has to do in telecom, he is asked to do."""
    if task.config["solo"]:
        return (*(Said(calls=calls) for calls in task.turns[0].reference), closing(task))
    actions = official_task(task).evaluation_criteria.actions or []
    return (*map(_action, actions), closing(task))


def _action(action: Any) -> Said:
    if action.requestor == "assistant":
        return Said(calls=(ToolCall(action.name, dict(action.arguments)),))
    arguments = ", ".join(f"{name}={value!r}" for name, value in action.arguments.items())
    return Said(f"Please do this now: {action.name}({arguments}). Does it help?")


class MessageChat:
    """A chat format of one token a message, so that long conversations cost nothing. Not thread-safe."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def encode(self, text: str) -> int:
        self._texts.append(text)
        return len(self._texts) - 1

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        return self.extend((), messages)

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]:
        return [*ids, *(self.encode(str(message["content"])) for message in messages)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._texts[token] for token in ids)

    def assistant_message(self, text: str) -> Message:
        return {"role": "assistant", "content": parse_message(text).content}


class ScriptPolicy:
    """Says one script's messages, one after the other, and then goodbye."""

    def __init__(self, script: Sequence[Said], chat: MessageChat) -> None:
        self._script = list(script)
        self._chat = chat

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        (_,) = prompts
        said = self._script.pop(0) if self._script else Said(GOODBYE)
        return [Completion((self._chat.encode(said.rendered()),), (0.0,), StopReason.END)]


def play(start: Task | EpisodeStart, script: Sequence[Said], make: Callable[[], Tau2Environment]) -> Trajectory:
    """Plays a script by the episode driver, from a task's start or from a fork."""
    chat = MessageChat()
    policy = ScriptPolicy(script, chat)
    (trajectory,) = play_episodes([start], lambda _: make(), policy, chat, LIMITS, Sampling(max_new_tokens=1))
    return trajectory
