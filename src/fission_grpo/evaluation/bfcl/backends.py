"""What answers requests: a model in this process, or an endpoint. Many dialogues wait on one backend at a time."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol, cast

from fission_grpo.evaluation.asking import Completion, ContextExceeded, Decoding, Outcome, Request
from fission_grpo.rollout.driver import PrefixReuser
from fission_grpo.rollout.policy import Policy, Sampling
from fission_grpo.types import Completion as Sampled
from fission_grpo.types import StopReason

RESERVED_TOKENS = 2
"""bfcl-eval leaves so many tokens of the context unused."""


class Backend(Protocol):
    """Takes requests, and gives outcomes in any order.

    Attributes:
        capacity: how many requests it works on at a time.
    """

    capacity: int

    def submit(self, key: int, request: Request) -> None: ...

    def collect(self) -> list[tuple[int, Outcome]]:
        """Waits until something is done; at least one outcome while anything is submitted.

        Raises:
            UserError: the endpoint refuses us: an unknown model, a wrong key.
        """
        ...

    def close(self) -> None: ...


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any: ...


class BatchBackend(ABC):
    """A model of this process, in lock-step: one message of every waiting dialogue at a time.

    Args:
        context_tokens: what the model can read and write together.
        capacity: dialogues played at once.
    """

    def __init__(self, tokenizer: Tokenizer, context_tokens: int, decoding: Decoding, capacity: int) -> None:
        self.capacity = capacity
        self.tokenizer = tokenizer
        self.decoding = decoding
        self.held = ExitStack()  # what is kept for as long as the backend is open
        self._context_tokens = context_tokens
        self._waiting: list[tuple[int, list[int]]] = []
        self._outcomes: list[tuple[int, Outcome]] = []

    def submit(self, key: int, request: Request) -> None:
        # Not verbose: transformers warns of long texts, and we count them.
        ids = cast(list[int], self.tokenizer(request.prompt, add_special_tokens=False, verbose=False)["input_ids"])
        if self.room(ids) < 1:
            detail = f"the prompt has {len(ids)} tokens, the model's context {self._context_tokens}"
            self._outcomes.append((key, ContextExceeded(detail)))
        else:
            self._waiting.append((key, ids))

    def collect(self) -> list[tuple[int, Outcome]]:
        waiting, self._waiting = self._waiting, []
        outcomes, self._outcomes = self._outcomes, []
        if waiting:
            answers = self.sample([ids for _, ids in waiting])
            outcomes += [(key, answer) for (key, _), answer in zip(waiting, answers, strict=True)]
        return outcomes

    def close(self) -> None:
        self.held.close()

    def room(self, ids: Sequence[int]) -> int:
        """Tokens that a message behind a prompt may have."""
        return self._context_tokens - len(ids) - RESERVED_TOKENS

    @abstractmethod
    def sample(self, prompts: Sequence[Sequence[int]]) -> list[Outcome]:
        """One outcome a prompt, in order."""


class PolicyBackend(BatchBackend):
    """Plays a `Policy`."""

    def __init__(
        self, policy: Policy, tokenizer: Tokenizer, context_tokens: int, decoding: Decoding, capacity: int = 16
    ) -> None:
        super().__init__(tokenizer, context_tokens, decoding, capacity)
        self._policy = policy
        self._rounds = 0
        if isinstance(policy, PrefixReuser):  # a dialogue grows at its end: what was computed of it is kept
            self.held.enter_context(policy.reusing_prefixes())

    def sample(self, prompts: Sequence[Sequence[int]]) -> list[Outcome]:
        started = time.perf_counter()
        sampled = self._policy.generate(prompts, self._sampling())
        seconds = time.perf_counter() - started
        return [self._completion(ids, message, seconds) for ids, message in zip(prompts, sampled, strict=True)]

    def _sampling(self) -> Sampling:
        self._rounds += 1
        seed = (self.decoding.seed << 32) + self._rounds
        return Sampling(self.decoding.temperature, max_new_tokens=self.decoding.max_new_tokens, seed=seed)

    def _completion(self, prompt: Sequence[int], sampled: Sampled, seconds: float) -> Completion:
        ids = sampled.ids[:-1] if sampled.stop_reason is StopReason.END else sampled.ids
        text = str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return Completion(text, (), len(prompt), len(sampled.ids), seconds)
