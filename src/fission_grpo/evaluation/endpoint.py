"""An OpenAI-compatible endpoint: text completions, as bfcl-eval asks local servers, or chat with tool calls.

The client retries by itself what is worth it (no connection, time-outs, 429 with its `Retry-After`, 5xx), with growing
waits. What is left after that is an infrastructure error of one episode: the others go on, and a second call plays it again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import openai

from fission_grpo.credentials import API_KEY, address_fault, api_key, message_without_key, without_key
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.evaluation.asking import Completion, ContextExceeded, Decoding, Outcome, Request

MIN_ROOM = 16
"""Below so many tokens for the message, a prompt counts as not fitting."""
_CONTEXT_WORDS = (
    "context length",
    "context window",
    "maximum context",
    "max_model_len",
    "context size",
    "too long",
    "too many tokens",
)
CONNECT_TIMEOUT = 10.0
"""Seconds to reach the endpoint at all: a server may think for minutes, but a network does not."""


class _Garbage(Exception):
    """The answer is no completion."""


@dataclass(frozen=True)
class EndpointSettings:
    """Where and how to ask.

    Attributes:
        concurrency: requests under way at a time.
        timeout: seconds without a byte of the answer after which a request is given up.
        retries: further tries of a request.

    Raises:
        UserError: the address holds a secret.
    """

    base_url: str
    model: str
    concurrency: int = 16
    timeout: float = 600.0
    retries: int = 6

    def __post_init__(self) -> None:
        if fault := address_fault(self.base_url):
            raise UserError(f"endpoint: its address {fault}")


class Endpoint:
    """Asks for messages, from as many threads as `concurrency` says."""

    def __init__(self, settings: EndpointSettings, decoding: Decoding) -> None:
        self._settings = settings
        self._decoding = decoding
        self._client = openai.OpenAI(
            base_url=settings.base_url,
            api_key=api_key() or "none",
            timeout=openai.Timeout(settings.timeout, connect=min(settings.timeout, CONNECT_TIMEOUT)),
            max_retries=settings.retries,
        )

    def close(self) -> None:
        self._client.close()

    def answer(self, request: Request) -> Outcome:
        """One message.

        Raises:
            UserError: the endpoint refuses us: an unknown model, a wrong key.
        """
        try:
            return self._within_context(request)
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise UserError(self._refusal(error)) from error
        except (openai.OpenAIError, _Garbage) as error:
            if _is_about_context(error):
                return ContextExceeded(_first_line(error))
            return InfrastructureError(f"{type(error).__name__}: {_first_line(error)}")

    def _within_context(self, request: Request) -> Completion:
        """Asks for less where prompt and message do not fit together: what the context has left, within a factor of two."""
        room = self._decoding.max_new_tokens
        while True:
            try:
                return self._sound_completion(request, room)
            except openai.APIStatusError as error:
                room //= 2
                if not _is_about_context(error) or room < MIN_ROOM:
                    raise

    def _sound_completion(self, request: Request, max_tokens: int) -> Completion:
        for attempt in range(self._settings.retries + 1):
            started = time.perf_counter()
            try:
                return self._asked(request, max_tokens, started)
            except _Garbage:
                if attempt == self._settings.retries:
                    raise
                time.sleep(min(8.0, 0.5 * 2**attempt))
        raise AssertionError("unreachable")

    def _asked(self, request: Request, max_tokens: int, started: float) -> Completion:
        ask = self._chat if request.messages else self._text
        try:
            return ask(request, max_tokens, started)
        except ValueError as error:  # the client lets through what it could not parse
            raise _Garbage(f"the endpoint's answer is no JSON ({error})") from error

    def _text(self, request: Request, max_tokens: int, started: float) -> Completion:
        answer: Any = self._client.completions.create(
            model=self._settings.model,
            prompt=request.prompt,
            temperature=self._decoding.temperature,
            max_tokens=max_tokens,
            seed=self._decoding.seed,
        )
        return self._completion(answer, without_key(_checked(lambda: answer.choices[0].text)), (), started)

    def _chat(self, request: Request, max_tokens: int, started: float) -> Completion:
        tools: Mapping[str, Any] = {"tools": list(request.tools)} if request.tools else {}
        answer: Any = self._client.chat.completions.create(
            model=self._settings.model,
            messages=cast(Any, list(request.messages)),
            temperature=self._decoding.temperature,
            max_tokens=max_tokens,
            seed=self._decoding.seed,
            **cast(Any, tools),
        )
        message: dict[str, Any] = _checked(lambda: cast(Any, answer.choices[0].message.model_dump(exclude_none=True)), dict)
        message = message_without_key(message)
        return self._completion(answer, str(message.get("content", "")), _calls_of(message), started)

    def _completion(self, answer: Any, text: str, calls: tuple[Mapping[str, Any], ...], started: float) -> Completion:
        usage = getattr(answer, "usage", None)  # some servers leave it out, or half of it
        read, written = (getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens"))
        return Completion(text, calls, read, written, time.perf_counter() - started)

    def _refusal(self, error: openai.APIStatusError) -> str:
        where = f"endpoint {self._settings.base_url}, model {self._settings.model!r}"
        advice = {401: f"set {API_KEY} to your key", 403: f"set {API_KEY} to a key that may use this model"}
        return f"{where}: {_first_line(error)}; {advice.get(error.status_code, 'check --base-url and --model')}"


def _checked(read: Any, expected: type = str) -> Any:
    """What a completion holds; an answer that is none (an error page, half a message) raises `_Garbage`."""
    try:
        value = read()
    except (AttributeError, IndexError, TypeError, KeyError) as error:
        raise _Garbage("the endpoint's answer is no completion") from error
    if not isinstance(value, expected):
        raise _Garbage(f"the endpoint's answer holds {type(value).__name__} where a message should be")
    return value


def _calls_of(message: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The tool calls of a message. One without a name makes it garbage; arguments may be missing, which the model did."""
    calls = [call for call in message.get("tool_calls", ()) if "function" in call]
    for call in calls:
        _checked(lambda function=call["function"]: function["name"])
        call["function"].setdefault("arguments", None)
    return tuple(calls)


def _is_about_context(error: Exception) -> bool:
    """Whether a refusal means that prompt and message do not fit: servers answer 400, 413 or 422, each in its own words."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 413, 422):
        return False
    return any(words in str(error).lower() for words in _CONTEXT_WORDS)


def _first_line(error: Exception) -> str:
    return next(iter(without_key(str(error)).splitlines()), type(error).__name__)[:300]
