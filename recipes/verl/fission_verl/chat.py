"""The chat format of a tokenizer, made once a process: verl makes an agent loop anew for every rollout."""

import json
from functools import lru_cache
from typing import Any

from fission_grpo.chat.template import ChatFormat


def chat_format(tokenizer: Any, template_kwargs: Any = None) -> ChatFormat:
    """The chat format of `tokenizer` under verl's `data.apply_chat_template_kwargs`."""
    return _chat_format(tokenizer, json.dumps(dict(template_kwargs or {})))


@lru_cache(4)
def _chat_format(tokenizer: Any, template_kwargs: str) -> ChatFormat:
    return ChatFormat(tokenizer, json.loads(template_kwargs))
