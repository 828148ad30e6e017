"""What is read of an endpoint's answer, whoever asks: so many bytes, and numbers of tokens that can be ones."""

from typing import Any

LONGEST_BODY = 1_000_000
"""Bytes that are read of an answer."""


def token_count(value: Any) -> int:
    """A number of tokens as an endpoint reports it; 0 where that is none.

    >>> token_count(12), token_count(-7), token_count("12"), token_count(None)
    (12, 0, 0, 0)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0
