"""Control tokens in data: what a tool, a user or a model *wrote* is never a token that opens or ends a turn.

A tokenizer reads `<|im_end|>` as one control token wherever it stands. A file with that text, shown by a tool, could so end
the tool's turn and write the assistant's next one. Here a mark is put into such texts before the template is rendered, and
the rendered text is cut at the marks before it is tokenised: the model reads the same characters, as ordinary tokens.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from fission_grpo.chat.parsing import CLOSE, OPEN, THINK_CLOSE, THINK_OPEN
from fission_grpo.types import Message

MARK = "\ufdd0"
"""A character that Unicode keeps free for uses such as this one: no text holds it. Where one does, it is left out."""

_BRACKETED = re.compile(r"<\S+>|\[\S+\]")
_SAYABLE = frozenset({OPEN, CLOSE, THINK_OPEN, THINK_CLOSE})
"""Tags that texts may hold as what they are: our own sentences name them to the policy, and they open no turn."""


class ControlTokens:
    """The control tokens of one tokenizer: its special ones, and the others in brackets that its chat template writes.

    Args:
        added: its added tokens by id, each with `content` and `special`.

    Attributes:
        ids: of the control tokens.
    """

    def __init__(self, added: Mapping[int, Any], template: str) -> None:
        found = {
            index: str(token.content)
            for index, token in added.items()
            if token.special or (_BRACKETED.fullmatch(token.content) and token.content in template)
        }
        # A token of one character cannot be cut in two.
        chosen = {index: content for index, content in found.items() if len(content) > 1 and content not in _SAYABLE}
        self.ids = frozenset(chosen)
        alternatives = "|".join(map(re.escape, sorted(chosen.values(), key=len, reverse=True)))
        self._first_character = re.compile(f"(?=(?:{alternatives}))(.)", re.DOTALL) if chosen else None

    def marked(self, messages: Iterable[Message]) -> list[Message]:
        """The messages with a mark inside every control token that they spell. System messages are their author's."""
        return [message if message.get("role") == "system" else self._marked(message) for message in messages]

    def _marked(self, value: Any) -> Any:
        if self._first_character is None:
            return value
        if isinstance(value, str):
            return self._first_character.sub(rf"\1{MARK}", value)
        if isinstance(value, Mapping):
            return {self._marked(key): self._marked(item) for key, item in cast(Mapping[str, Any], value).items()}
        if isinstance(value, list | tuple):
            return [self._marked(item) for item in cast(Sequence[Any], value)]
        return value
