"""The interface of user models, and what no user may say."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from fission_grpo.errors import InfrastructureError
from fission_grpo.types import Message, Tool

LONGEST_REPLY = 8_000
"""Characters that a user may say at once."""
MOST_CALLS = 30
"""Messages with calls that a user may write between two of the agent's."""

STOP, TRANSFER, OUT_OF_SCOPE = "###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###"
"""What tau2's guidelines have the user say at the end; each ends the conversation."""

_CONTROL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?tool_(?:call|response)>|</?(?:s|think)>", re.IGNORECASE)
_OTHER_SPEAKER = re.compile(r"^\s*\**(?:agent|assistant|customer service(?: agent| representative)?)\**\s*:", re.I | re.M)


class UserModel(Protocol):
    """Plays the user. The same object may be asked about many conversations, from several threads."""

    @property
    def name(self) -> str:
        """What to write beside a score."""
        ...

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        """The user's next message.

        Args:
            messages: the conversation as the user sees it: tau2's guidelines and the scenario as system text, what the agent
                said with role `user`, what he himself said with role `assistant`, and the results of his own tools.
            tools: his own tools, for instance those of his phone.

        Returns:
            an OpenAI message of role `assistant` with `content` or `tool_calls`, whose arguments are JSON text.

        Raises:
            InfrastructureError: there is no reply.
        """
        ...


def check_reply(reply: Message, tools: Sequence[Tool]) -> None:
    """Refuses what would make an episode say something about the user model instead of the policy.

    Raises:
        InfrastructureError: the reply is empty or endless, speaks for the agent, holds control tokens of a chat format, or
            makes calls where the user has no tools.
    """
    content: Any = reply.get("content")
    calls: Any = reply.get("tool_calls")
    if calls and not tools:
        raise InfrastructureError("the user model made a call, and the user has no tools")
    if content is not None and not isinstance(content, str):
        raise InfrastructureError(f"the user model replied with {type(content).__name__} and not with text")
    if not calls and not (content or "").strip():
        raise InfrastructureError("the user model said nothing")
    if content and len(content) > LONGEST_REPLY:
        raise InfrastructureError(f"the user model said {len(content)} characters at once; at most {LONGEST_REPLY} are read")
    if content and (found := _CONTROL.search(content)):
        raise InfrastructureError(f"the user model wrote a control token: {found[0]}")
    if content and _OTHER_SPEAKER.search(content):
        raise InfrastructureError("the user model spoke for the agent")
