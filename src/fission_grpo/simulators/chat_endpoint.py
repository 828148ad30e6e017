"""One question to an OpenAI-compatible chat endpoint: its reply, or why there is none. Never an exception.

The openai package's HTTP client is used below its API: an endpoint that misbehaves may send a body without end, and what
reads it whole has no bound in memory.
"""

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

from fission_grpo.chat.parsing import without_thinking
from fission_grpo.credentials import api_key, without_key
from fission_grpo.simulators.answer import LONGEST_ANSWER

if TYPE_CHECKING:
    from openai import DefaultAsyncHttpxClient

LONGEST_BODY = 1_000_000
"""Bytes that are read of a reply."""


class Lost(StrEnum):
    """Each way in which a question gets no reply."""

    TIMEOUT = "timeout"
    """The whole reply was not there in time."""
    RATE_LIMIT = "rate_limit"
    """Status 429, again and again, or with a wait that is longer than the time-out."""
    QUOTA = "quota"
    """Nothing left to spend: status 402, or 429 that says so."""
    REFUSED = "refused"
    """Status 401, 403 or 404: no such key, or no such model."""
    REJECTED = "rejected"
    """Another status below 500: the request does not suit this endpoint; a prompt may be too long for it."""
    CONNECTION = "connection"
    """No connection, or one that broke."""
    SERVER_ERROR = "server_error"
    """Status 500 and above."""
    GARBAGE = "garbage"
    """A reply that is no chat completion: a page, half a reply, nothing."""
    TOO_LONG = "too_long"
    """More than `LONGEST_BODY`; the rest was not read."""
    BUDGET = "budget"
    """Not asked: the run's budget is used up."""
    RESTING = "resting"
    """Not asked: the questions before were lost, and the endpoint is left alone for a while."""


UNASKED = frozenset({Lost.BUDGET, Lost.RESTING})
_PASSING = frozenset({Lost.RATE_LIMIT, Lost.CONNECTION, Lost.SERVER_ERROR, Lost.GARBAGE})
_STATUS = {401: Lost.REFUSED, 402: Lost.QUOTA, 403: Lost.REFUSED, 404: Lost.REFUSED, 429: Lost.RATE_LIMIT}


@dataclass(frozen=True)
class Reply:
    """What the model wrote, empty where it wrote nothing (a tool call, thinking alone), and the tokens it took."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Loss:
    """Why there is no reply.

    Attributes:
        status: the HTTP status, where one came.
        detail: what the endpoint said about it, in short.
        wait: seconds after which it wants to be asked again.
    """

    reason: Lost
    status: int | None = None
    detail: str = ""
    wait: float | None = None


class ChatEndpoint:
    """Asks one endpoint, with further tries of what may pass; `async with`, for its connections.

    Args:
        timeout: seconds that one question may take, all its tries and the waits between them included.
        retries: further tries.
        may_ask: called before each try, with whether it is a further one; False keeps it from being made.
    """

    def __init__(self, base_url: str, timeout: float, retries: int, may_ask: Callable[[bool], bool]) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._timeout = timeout
        self._retries = retries
        self._may_ask = may_ask
        self._http: DefaultAsyncHttpxClient | None = None
        self._unusable = Loss(Lost.CONNECTION)

    async def __aenter__(self) -> Self:
        import openai  # takes as long to import as all the rest of the simulators

        try:
            # With the openai package's proxies and certificates, and without time-outs of its own.
            self._http = openai.DefaultAsyncHttpxClient(timeout=None)
        except (ValueError, ImportError, OSError) as error:  # a proxy or certificate of the environment that is none
            self._unusable = Loss(Lost.CONNECTION, detail=f"{type(error).__name__}: {error}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http:
            await self._http.aclose()

    async def ask(self, body: Mapping[str, Any]) -> Reply | Loss:
        deadline = asyncio.get_running_loop().time() + self._timeout
        loss = Loss(Lost.BUDGET)
        try:
            async with asyncio.timeout_at(deadline):
                for attempt in range(self._retries + 1):
                    if not self._may_ask(attempt > 0):
                        return loss
                    answer = await self._once(json.dumps(body).encode())
                    if isinstance(answer, Reply) or answer.reason not in _PASSING:
                        return answer
                    loss = answer
                    wait = 0.5 * 2**attempt if loss.wait is None else loss.wait
                    if attempt == self._retries or asyncio.get_running_loop().time() + wait > deadline:
                        return loss
                    await asyncio.sleep(wait)
        except TimeoutError:
            return Loss(Lost.TIMEOUT)
        return loss

    async def _once(self, body: bytes) -> Reply | Loss:
        if self._http is None:
            return self._unusable
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key := api_key():
            headers["Authorization"] = f"Bearer {key}"
        content = bytearray()
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
                # Raw, because a few bytes may be unpacked to a body without end.
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > LONGEST_BODY:
                        break
        # Which classes the HTTP library raises depends on the version of openai. Their texts may hold the key: left out.
        except Exception as error:
            return Loss(Lost.CONNECTION, detail=type(error).__name__)
        if not response.is_success:
            return _refusal(response.status_code, bytes(content), response.headers.get("Retry-After"))
        return Loss(Lost.TOO_LONG, response.status_code) if len(content) > LONGEST_BODY else read_reply(bytes(content))


def read_reply(content: bytes) -> Reply | Loss:
    """The body of a successful response.

    >>> read_reply(b'{"choices": [{"message": {"content": "hello"}}]}')
    Reply(text='hello', prompt_tokens=0, completion_tokens=0)
    >>> read_reply(b'{"choices": []}').reason.value
    'garbage'
    """
    try:
        found = json.loads(content)
        message = found["choices"][0]["message"]
        text = message.get("content")
    except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError):
        return Loss(Lost.GARBAGE, 200)
    usage = found.get("usage")
    return Reply(_text_of(text), *(_count(usage, name) for name in ("prompt_tokens", "completion_tokens")))


def _text_of(content: Any) -> str:
    """The text of a message's content, which some servers send in parts."""
    if isinstance(content, list):
        parts = [part for part in cast(list[Any], content) if isinstance(part, dict)]
        content = "".join(str(cast(dict[str, Any], part).get("text") or "") for part in parts)
    # No more is read of an answer, and what it thought is not kept.
    return without_thinking(without_key(content))[: LONGEST_ANSWER + 1] if isinstance(content, str) else ""


def _count(usage: Any, name: str) -> int:
    count = cast(dict[str, Any], usage).get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and 0 <= count < 1 << 40 else 0


def _refusal(status: int, content: bytes, retry_after: str | None) -> Loss:
    reason = _STATUS.get(status, Lost.SERVER_ERROR if status >= 500 else Lost.REJECTED)
    if reason is Lost.RATE_LIMIT and b"insufficient_quota" in content:
        reason = Lost.QUOTA
    return Loss(reason, status, _said(content), _seconds(retry_after))


def _said(content: bytes) -> str:
    """What an endpoint says about a refusal, in one short line that a terminal can show; nothing where it sends a page."""
    try:
        found: Any = json.loads(content)
        error = found.get("error") or found.get("detail") or found.get("message")
        message = str(error.get("message", "") if isinstance(error, dict) else error or "")
    except (ValueError, RecursionError, AttributeError):
        return ""
    line = " ".join(without_key(message).split())
    return "".join(filter(str.isprintable, line))[:300]


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is left to the waits that grow by themselves."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
