"""A task of tau2 under the first version's protocol: tau2's world and evaluator, without its limit of errors."""

from fission_grpo.environments.tau2.conversation import Conversation, SavedConversation
from fission_grpo.environments.tau2.prepared import prepare
from fission_grpo.environments.tau2.users.base import UserModel
from fission_grpo.tasks.task import Task
from fission_grpo.types import Message, Tool, ToolCall, ToolResult, Verdict

TRANSFER_TOOL = "transfer_to_human_agents"
"""The tool that ends a task of the first version."""
NO_LIMIT = 1_000_000


class CompatibleGame:
    """One task of tau2's retail or airline."""

    def __init__(self, task: Task, user: UserModel) -> None:
        self._conversation = Conversation(prepare(task), user, NO_LIMIT, NO_LIMIT)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._conversation.prepared.tools

    @property
    def over(self) -> bool:
        return self._conversation.over

    def start(self) -> list[Message]:
        self._conversation.start()
        first = {"role": "user", "content": self._conversation.trajectory[-1].content}
        return [self._conversation.prepared.system, first]

    def call(self, call: ToolCall) -> ToolResult:
        self._conversation.say("", (call,))
        answer = self._conversation.trajectory[-1]
        if call.name == TRANSFER_TOOL and not answer.error:
            self._conversation.end("AGENT_STOP")
        return ToolResult(answer.content or "", is_error=answer.error)

    def say(self, text: str) -> str:
        self._conversation.say(text, ())
        return str(self._conversation.trajectory[-1].content)

    def end(self) -> None:
        self._conversation.end("MAX_STEPS")

    def verdict(self) -> Verdict:
        return self._conversation.verdict()

    def save(self) -> SavedConversation:
        return self._conversation.save()

    def load(self, saved: SavedConversation) -> None:
        self._conversation.load(saved)

    def same_databases(self, saved: SavedConversation) -> bool:
        return self._conversation.same_databases(saved)
