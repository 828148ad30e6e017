"""Messages to token ids through the tokenizer's own chat template: token in, token out.

A sampled message is never rendered again, because rendering changes it (Qwen3's template drops past thinking, whitespace in
JSON moves, text tokenises in more than one way). A dialogue grows by appending: `extend` renders only what follows the
assistant message, behind a stand-in for it, and keeps the sampled ids as they are. Control tokens that a message spells
(`<|im_end|>` in a file that a tool shows) are encoded as the text that they are: see `control_tokens`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from fission_grpo.chat.control_tokens import MARK, ControlTokens
from fission_grpo.chat.parsing import parse_message
from fission_grpo.errors import UserError
from fission_grpo.types import Message, Tool

CACHED_SUFFIXES = 4_096
"""How many rendered suffixes a `ChatFormat` remembers: siblings of a group often receive the same answer."""
LONGEST_CACHED_SUFFIX = 8_192
"""Characters of messages, as JSON, whose suffix is remembered: long answers would fill the memory."""

_STAND_IN = "@@assistant@@"


class ChatTokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer (and `eos_token_id`, `pad_token_id`, which it serves dynamically)."""

    name_or_path: str
    chat_template: Any

    @property
    def all_special_ids(self) -> list[int]: ...

    @property
    def added_tokens_decoder(self) -> dict[int, Any]: ...

    def apply_chat_template(self, conversation: Any, tools: Any = None, **kwargs: Any) -> Any: ...

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any: ...


class ChatFormat:
    """How one model writes dialogues, around its tokenizer.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        template_kwargs: handed to the template at every rendering, such as `{"enable_thinking": False}` for Qwen3.

    Attributes:
        end_ids: the ids of which each ends an assistant turn.
        turn_end_id: the one of them that the template itself writes.
        control_ids: the ids that messages cannot spell, whatever they say.

    Raises:
        UserError: the tokenizer has no chat template, or one without assistant turns or an end-of-turn token.
    """

    def __init__(self, tokenizer: ChatTokenizer, template_kwargs: Mapping[str, Any] | None = None) -> None:
        self._name = tokenizer.name_or_path or "this model"
        if not tokenizer.chat_template:
            raise UserError(
                f"tokenizer of {self._name} has no chat template; use an instruct model, "
                "or set `tokenizer.chat_template` to the template that the model was trained with"
            )
        self._tokenizer = tokenizer
        self._template_kwargs = dict(template_kwargs or {})
        self._control = ControlTokens(tokenizer.added_tokens_decoder, str(tokenizer.chat_template))
        self.control_ids = self._control.ids
        self.turn_end_id = self._find_turn_end()
        self.end_ids = self._find_end_ids()
        self._suffix = lru_cache(CACHED_SUFFIXES)(self._render_suffix)

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids of a dialogue and its tools, ending in the generation prompt."""
        return self._tokenize_marked(self._apply_template(messages, tools, add_generation_prompt=True))

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]:
        """Appends tool and user messages and the generation prompt to a context.

        Args:
            ids: a context that ends in a sampled assistant message, whose ids stay untouched. Where it was cut before its
                end token, the template's own end token closes it.
            messages: what comes next.
        """
        # The cache is keyed by content; key order counts, because templates print objects as they come.
        written = json.dumps(messages)
        suffix = self._suffix(written) if len(written) <= LONGEST_CACHED_SUFFIX else self._render_suffix(written)
        if ids and ids[-1] in self.end_ids:
            return [*ids, *suffix[_behind_end(suffix, self.end_ids) :]]
        return [*ids, *suffix]

    def tokenize(self, text: str) -> list[int]:
        """The token ids of a text alone, no special tokens added; control tokens that it spells are control tokens."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenize_marked(self, rendered: str) -> list[int]:
        """The token ids of a rendered dialogue, cut where its messages spell control tokens."""
        return [token for piece in rendered.split(MARK) if piece for token in self.tokenize(piece)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a sampled message: without end tokens and padding, with tags that are special tokens."""
        skipped = {*self.end_ids, getattr(self._tokenizer, "pad_token_id", None)}
        kept = [token for token in ids if token not in skipped]
        return self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def assistant_message(self, text: str) -> Message:
        """A sampled text as a chat message: content and tool calls as parsed, or plain content where it is malformed.

        `arguments` are objects, as chat templates expect them, not JSON strings.
        """
        parsed = parse_message(text)
        message: Message = {"role": "assistant", "content": parsed.content}
        if parsed.calls:
            functions = [{"name": call.name, "arguments": call.arguments} for call in parsed.calls]
            message["tool_calls"] = [{"type": "function", "function": function} for function in functions]
        return message

    def _apply_template(self, messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool) -> str:
        return self._tokenizer.apply_chat_template(
            self._control.marked(messages),
            tools=list(tools) or None,
            add_generation_prompt=add_generation_prompt,
            tokenize=False,
            **self._template_kwargs,
        )

    def _after_assistant(self, messages: Sequence[Message], add_generation_prompt: bool) -> list[int]:
        """What the template writes after the content of an assistant message that `messages` follow."""
        dialogue = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _STAND_IN}, *messages]
        # The first occurrence is the stand-in: whatever later messages hold comes behind it.
        _, found, suffix = self._apply_template(dialogue, (), add_generation_prompt).partition(_STAND_IN)
        if not found:
            raise UserError(f"the chat template of {self._name} leaves out the content of assistant messages; correct it")
        return self._tokenize_marked(suffix)

    def _render_suffix(self, messages_json: str) -> list[int]:
        return self._after_assistant(json.loads(messages_json), add_generation_prompt=True)

    def _find_turn_end(self) -> int:
        special = {*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder}
        closing = next((token for token in self._after_assistant((), False) if token in special), None)
        end = getattr(self._tokenizer, "eos_token_id", None) if closing is None else closing
        if end is None:
            raise UserError(f"tokenizer of {self._name} has no end-of-turn token; set `tokenizer.eos_token`")
        return end

    def _find_end_ids(self) -> frozenset[int]:
        eos = getattr(self._tokenizer, "eos_token_id", None)
        return frozenset({self.turn_end_id} if eos is None else {self.turn_end_id, eos})


def _behind_end(suffix: Sequence[int], end_ids: frozenset[int]) -> int:
    """Index behind the first end token, or 0 where the template writes none."""
    return next((index + 1 for index, token in enumerate(suffix) if token in end_ids), 0)
