"""What a model or an environment wrote, as text that can be shown: every character visible, none in command of the page."""

import json
import re
from collections.abc import Mapping
from typing import Any

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, terminal escapes among them; tab and newline are shown as such
    "\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # direction of writing, breaks, no width
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of characters, which no file can hold; tags
)
_PICTURES = 0x2400
"""Where Unicode's pictures of the first 32 control characters begin."""


def visible(text: str) -> str:
    """The text with a sign in the place of every character that hides, or that would turn or break what stands around it.

    >>> visible("a\\x1b[2Jb"), visible("x\\u202ey")
    ('a␛[2Jb', 'x⟨U+202E⟩y')
    """
    return _INVISIBLE.sub(_sign, text)


def said(message: Mapping[str, Any]) -> str:
    """What a chat message says, its tool calls included, as visible text.

    >>> said({"role": "assistant", "tool_calls": [{"function": {"name": "cd", "arguments": {"folder": "docs"}}}]})
    'cd {"folder": "docs"}'
    """
    parts = [str(message["content"])] if message.get("content") else []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = function["arguments"]
        shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        parts.append(f"{function['name']} {shown}")
    return visible("\n".join(parts))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(_PICTURES + code) if code < 32 else f"⟨U+{code:04X}⟩"
