"""A user behind any OpenAI-compatible chat endpoint."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from fission_grpo.errors import InfrastructureError
from fission_grpo.types import Message, Tool

if TYPE_CHECKING:
    import openai

MAX_TOKENS = 2_048
"""Tokens of one reply: a model that never ends is cut off."""


class EndpointUser:
    """Asks a chat endpoint, at temperature 0 as tau2's protocol does.

    The key is read from `OPENAI_API_KEY`; local servers need none.

    Args:
        base_url: with the version, for instance `http://localhost:8000/v1`.
        model: as the endpoint names it; the published scores of tau2 have `gpt-4.1`, those of tau-bench `gpt-4o`.
        timeout: seconds that one try may take.
        retries: further tries after time-outs, lost connections, rate limits and errors of the server.
    """

    def __init__(
        self, base_url: str, model: str, *, temperature: float = 0.0, timeout: float = 120.0, retries: int = 2
    ) -> None:
        self._base_url = base_url
        self._model = model
        self._temperature = temperature
        self._timeout = timeout
        self._retries = retries

    @property
    def name(self) -> str:
        return self._model

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        import openai

        offered: dict[str, Any] = {"tools": list(tools), "tool_choice": "auto"} if tools else {}
        try:
            response = self._client.chat.completions.create(
                model=self._model,
                messages=cast(Any, list(messages)),
                temperature=self._temperature,
                max_tokens=MAX_TOKENS,
                **offered,
            )
            return cast(Message, response.choices[0].message.model_dump(include={"role", "content", "tool_calls"}))
        except openai.OpenAIError as error:
            raise InfrastructureError(f"user model {self._model!r} at {self._base_url}: {_first_line(error)}") from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:  # an answer that is no chat completion
            raise InfrastructureError(f"user model {self._model!r} at {self._base_url}: no chat completion") from error

    @cached_property
    def _client(self) -> "openai.OpenAI":
        import openai

        key = os.environ.get("OPENAI_API_KEY") or "none"
        return openai.OpenAI(base_url=self._base_url, api_key=key, timeout=self._timeout, max_retries=self._retries)

    def __getstate__(self) -> dict[str, Any]:
        """Without its connections, so that it can be sent to worker processes."""
        return {name: value for name, value in self.__dict__.items() if name != "_client"}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
