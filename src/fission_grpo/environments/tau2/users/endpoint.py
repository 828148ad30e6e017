"""A user behind any OpenAI-compatible chat endpoint."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from fission_grpo.chat.parsing import without_thinking
from fission_grpo.credentials import address_fault, api_key, message_without_key
from fission_grpo.errors import InfrastructureError, UserError
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

    Raises:
        UserError: the address holds a secret.
    """

    def __init__(
        self, base_url: str, model: str, *, temperature: float = 0.0, timeout: float = 120.0, retries: int = 2
    ) -> None:
        if fault := address_fault(base_url):
            raise UserError(f"user model: its address {fault}")
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
            said = response.choices[0].message
            calls = [call.model_dump(include={"id", "type", "function"}) for call in said.tool_calls or ()]
            content = without_thinking(said.content or "")
            return message_without_key({"role": "assistant", "content": content, "tool_calls": calls})
        except openai.OpenAIError as error:
            raise InfrastructureError(f"{self._subject}: {_reason(error)}") from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InfrastructureError(f"{self._subject}: what it answers is no chat completion") from error

    def check(self) -> None:
        """Asks for one short reply, so that a mistake shows before a run.

        Raises:
            UserError: there is none.
        """
        try:
            self.complete([{"role": "user", "content": "Say hello."}], ())
        except InfrastructureError as error:
            raise UserError(f"{error}; check the address, the name of the model and OPENAI_API_KEY") from error

    @property
    def _subject(self) -> str:
        return f"user model {self._model!r} at {self._base_url}"

    @cached_property
    def _client(self) -> "openai.OpenAI":
        import openai

        return openai.OpenAI(
            base_url=self._base_url, api_key=api_key() or "none", timeout=self._timeout, max_retries=self._retries
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without its connections, so that it can be sent to worker processes."""
        return {name: value for name, value in self.__dict__.items() if name != "_client"}


def _reason(error: Exception) -> str:
    """What happened, without the endpoint's own words: they may repeat the key."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ if status is None else f"{type(error).__name__}, status {status}"
