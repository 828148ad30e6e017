"""A chat format on the bundled policy's real tokenizer, and a policy whose messages are hostile."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from fission_grpo.chat.template import ChatFormat
from fission_grpo.rollout.loading import load_tokenizer, places_of
from fission_grpo.rollout.policy import Sampling
from fission_grpo.types import Completion, StopReason


@cache
def chat_format() -> ChatFormat:
    return ChatFormat(_tokenizer())


@cache
def vocabulary_size() -> int:
    return len(_tokenizer())


@cache
def _tokenizer() -> Any:
    return load_tokenizer(places_of("bundled")[0])


class HostilePolicy:
    """Says what it is told to, or any tokens at all.

    Args:
        say: draws the next message.
    """

    def __init__(self, rng: random.Random, say: Callable[[random.Random], str]) -> None:
        self._rng = rng
        self._say = say

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        return [self._complete(sampling.max_new_tokens) for _ in prompts]

    def _complete(self, limit: int) -> Completion:
        rng = self._rng
        if rng.random() < 0.2:
            ids = [rng.randrange(vocabulary_size()) for _ in range(rng.choice((0, 1, 20, limit)))]
        else:
            ids = chat_format().tokenize(self._say(rng).encode("utf-8", "replace").decode())
        if rng.random() < 0.8:
            ids = [*ids[: limit - 1], chat_format().turn_end_id]
        ids = ids[:limit]
        ended = bool(ids) and ids[-1] in chat_format().end_ids
        return Completion(tuple(ids), (-1.0,) * len(ids), StopReason.END if ended else StopReason.LENGTH)
