"""The openai package's client, with two bounds that it has not: on the length of an answer, and on the time it takes."""

import time
from typing import Any

import openai

from fission_grpo.credentials import api_key
from fission_grpo.endpoint_answers import LONGEST_BODY
from fission_grpo.errors import UserError

_PACKED = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_CHECK_SECONDS = 10.0


class BrokenOff(openai.OpenAIError):
    """An answer that was not read to its end, because it is too long or too late.

    The client does not try again: who has waited so long would wait as long once more.
    """


class _BoundedHttpClient(openai.DefaultHttpxClient):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: Any, *, stream: bool = False, **named: Any) -> Any:
        """Reads the answer, whatever `stream` says."""
        began = time.monotonic()
        try:
            response = super().send(request, stream=True, **named)
            try:
                body = self._read(response, began + self._seconds)
            finally:
                response.close()
        except openai.OpenAIError:
            raise
        except Exception as error:  # which classes the HTTP library raises depends on the version of openai
            if time.monotonic() - began < self._seconds:
                raise
            raise self._late() from error
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _PACKED]
        return type(response)(response.status_code, headers=headers, content=body, request=request)

    def _read(self, response: Any, until: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():  # raw, because a few bytes may be unpacked to a body without end
            body += chunk
            if len(body) > LONGEST_BODY:
                raise BrokenOff(f"an answer of more than {LONGEST_BODY:,} bytes")
            if time.monotonic() > until:
                raise self._late()
        return bytes(body)

    def _late(self) -> BrokenOff:
        return BrokenOff(f"no whole answer within {self._seconds:g} seconds")


def bounded_client(base_url: str, *, timeout: float, connect_timeout: float, retries: int) -> openai.OpenAI:
    """A client for answers that are not streamed; it raises `BrokenOff` for one that is too long or too late.

    Args:
        timeout: seconds within which the whole answer must be there.
        connect_timeout: seconds to reach the endpoint at all.
        retries: further tries after lost connections, rate limits and errors of the server.
    """
    return openai.OpenAI(
        base_url=base_url,
        api_key=api_key() or "none",
        max_retries=retries,
        timeout=openai.Timeout(timeout, connect=min(timeout, connect_timeout)),
        default_headers={"Accept-Encoding": "identity"},
        http_client=_BoundedHttpClient(timeout),
    )


def check_reachable(option: str, base_url: str) -> None:
    """Sees whether anybody is there, whatever they answer.

    Raises:
        UserError: nobody is.
    """
    client = bounded_client(base_url, timeout=_CHECK_SECONDS, connect_timeout=_CHECK_SECONDS / 2, retries=0)
    try:
        client.models.list()
    except openai.APIConnectionError as error:
        raise UserError(
            f"{option} {base_url}: no connection ({type(error.__cause__).__name__}); start the server, or give the address "
            f"at which it runs, such as {option} http://localhost:8000/v1"
        ) from error
    except (openai.OpenAIError, ValueError):  # somebody answered; what a request for a message comes to is another matter
        pass
    finally:
        client.close()
