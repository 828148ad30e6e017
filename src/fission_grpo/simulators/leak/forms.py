"""The forms that a value can take, and where a text shows one of them."""

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from fission_grpo.simulators.leak.dates import Moment, find_moments, moments_of
from fission_grpo.simulators.leak.quantities import Quantities
from fission_grpo.simulators.leak.scalars import SHORT, Scalar
from fission_grpo.simulators.leak.text import Span, Text, fold, is_word
from fission_grpo.simulators.leak.vocabulary import CONNECTORS, COUNTED, FILLERS

CIPHER_LENGTH = 5
"""Shorter reversed and rotated strings may be words by chance: they count anywhere only if the text hints at it."""
EMBEDDED_LENGTH = 4
"""Shorter values are not looked for inside other words."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINTS = re.compile(r"[\s_\-]+")
_NOT_ALNUM = re.compile(r"[^0-9a-z]+")
_NUMERIC = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?")
_WORD_BEHIND = re.compile(r" ?(\w+)")


class LeakForm(StrEnum):
    """How what leaked was written. A guard of one strictness counts its own form and those above it."""

    EXACT = "exact"
    """The very string."""
    NORMALISED = "normalised"
    """The same in other notation: case, quotes, white space, joints of words, digits of a number, format of a date."""
    PARAPHRASED = "paraphrased"
    """In disguise: encoded, spelled out, reversed, inside another word, in words, in another unit."""


@dataclass(frozen=True)
class Sighting:
    """A place where a text shows a value.

    Attributes:
        form: None where what is written there decides between exact and normalised.
        is_free: so unlikely by chance that it counts without being bound.
        is_bound: bound to its parameter by the very word that it stands in.
    """

    span: Span
    form: LeakForm | None = None
    is_free: bool = False
    is_bound: bool = False


class ReadText(Text):
    """A text with its numbers and moments."""

    @cached_property
    def quantities(self) -> Quantities:
        return Quantities(self.folded)

    @cached_property
    def moments(self) -> list[tuple[Span, Moment]]:
        return find_moments(self.folded)


def sightings(text: ReadText, scalar: Scalar) -> Iterator[Sighting]:
    """Every place where `text` shows the value of `scalar`, the plain forms first."""
    for needle in needles(scalar.value):
        yield from (Sighting(span) for span in text.find(needle) if not _is_counted(text, span, scalar))
    if isinstance(scalar.value, bool) or scalar.value is None:
        return
    yield from _moments(text, scalar.value)
    yield from _quantities(text, scalar.value)
    if isinstance(scalar.value, str):
        yield from _ciphers(text, scalar.value)
        yield from _embedded(text, scalar)
    yield from _spelled(text, scalar.value)


def decoded_shows(text: Text, value: Any) -> bool:
    """Whether an encoded piece of the text holds the value."""
    if isinstance(value, bool) or value is None or len(str(value)) < SHORT:
        return False
    return any(piece.has(needle) for piece in text.decoded for needle in needles(value))


@lru_cache(maxsize=8192, typed=True)
def needles(value: Any) -> tuple[str, ...]:
    """The folded strings that show a scalar plainly; none for a value that no text can show (the empty string)."""
    if value is None:
        return ("null", "none")
    if isinstance(value, bool):
        return ("true", "yes") if value else ("false",)
    if isinstance(value, int | float):
        is_whole = isinstance(value, int) or value.is_integer()
        return tuple(dict.fromkeys([str(value), f"{value:,}", *([str(int(value))] if is_whole else [])]))
    plain = fold(str(value))
    return tuple(dict.fromkeys(form for form in (plain, *_joint_variants(str(value))) if form))


def name_variants(name: str) -> tuple[str, ...]:
    """The folded ways to write the name of a parameter or tool: `get_user_id`, `getuserid`, `get user id`, `get-user-id`."""
    parts = name_parts(name)
    return tuple(dict.fromkeys([fold(name), *(joint.join(parts) for joint in (" ", "_", "-", "", "."))])) if parts else ()


@lru_cache(maxsize=8192)
def name_parts(name: str) -> tuple[str, ...]:
    """The words of a name: `startEngine` has two."""
    return tuple(part for part in _NOT_ALNUM.split(fold(_CAMEL.sub("_", name))) if part)


def _joint_variants(value: str) -> Iterator[str]:
    """`Quarterly Report.txt` as `quarterly_report.txt`, `quarterlyreport.txt`, `quarterly report txt`."""
    plain = fold(_CAMEL.sub("_", value))
    if len(plain) <= SHORT or plain.replace(".", "").isdigit():
        return
    for joint in (" ", "_", "-", "", "+"):
        yield _JOINTS.sub(joint, plain)
    for joint in (" ", "_", "-", ""):
        yield _NOT_ALNUM.sub(joint, plain).strip()


def _is_counted(text: Text, span: Span, scalar: Scalar) -> bool:
    """A short number before a noun counts things; a value that is a connecting word needs a sign before it."""
    if not scalar.is_short or isinstance(scalar.value, bool):
        return False
    before = text.folded[max(0, span[0] - 2) : span[0]]
    if isinstance(scalar.value, int | float):
        behind = _WORD_BEHIND.match(text.folded, span[1])
        return behind is not None and behind[1] in COUNTED and not before.endswith(("=", "= ", ": "))
    return fold(str(scalar.value)) in CONNECTORS and not before.rstrip().endswith(("=", ":", "("))


def _moments(text: ReadText, value: Any) -> Iterator[Sighting]:
    wanted = moments_of(fold(value)) if isinstance(value, str) else frozenset[Moment]()
    if not wanted:
        return
    times = {moment.time for _, moment in text.moments}
    for span, moment in text.moments:
        for each in wanted:
            if _same_moment(moment, each) and (each.time is None or each.time in times):
                yield Sighting(span, LeakForm.NORMALISED)


def _same_moment(found: Moment, wanted: Moment) -> bool:
    if wanted.date is None:
        return found.time == wanted.time
    return found.date is not None and found.date[1:] == wanted.date[1:] and found.date[0] in (None, wanted.date[0])


def _quantities(text: ReadText, value: Any) -> Iterator[Sighting]:
    number = number_of(value)
    if number is None:
        return
    for quantity in text.quantities.equal_to(number):
        plain = quantity.in_digits and quantity.number == number
        yield Sighting((quantity.start, quantity.end), LeakForm.NORMALISED if plain else LeakForm.PARAPHRASED)


def number_of(value: Any) -> float | None:
    """The finite number that a value is or that its string writes."""
    if isinstance(value, str):
        return float(value) if _NUMERIC.fullmatch(value) else None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _ciphers(text: Text, value: str) -> Iterator[Sighting]:
    for cipher in _cipher_needles(value):
        for span in text.find(cipher):
            is_free = len(cipher) >= CIPHER_LENGTH or text.hints_at_cipher
            yield Sighting(span, LeakForm.PARAPHRASED, is_free=is_free)


@lru_cache(maxsize=8192)
def _cipher_needles(value: str) -> tuple[str, ...]:
    """A value reversed, and rotated by 13 letters."""
    plain = fold(value)
    if len(plain) < SHORT or not any(each.isalpha() for each in plain):
        return ()
    return tuple({plain[::-1], codecs.encode(plain, "rot13")} - {plain})


def _embedded(text: Text, scalar: Scalar) -> Iterator[Sighting]:
    """A value glued to the words that it is often named with: `thedocsfolder`, `folder_docs`, `mydocs`."""
    plain = fold(scalar.value)
    if len(plain) < EMBEDDED_LENGTH or not plain[0].isalnum() or not plain[-1].isalnum():
        return
    names = frozenset(name_parts(scalar.parameter))
    affixes = FILLERS | names | frozenset(name_parts(scalar.tool)) | {"_"}
    start = text.folded.find(plain)
    while start >= 0:
        span = _token_around(text.folded, start, start + len(plain))
        before, after = text.folded[span[0] : start], text.folded[start + len(plain) : span[1]]
        if (before or after) and _is_made_of(before, affixes) and _is_made_of(after, affixes):
            is_bound = any(len(name) >= SHORT and name in before + after for name in names)
            yield Sighting(span, LeakForm.PARAPHRASED, is_bound=is_bound)
        start = text.folded.find(plain, start + len(plain))


def _token_around(text: str, start: int, end: int, reach: int = 24) -> Span:
    first, last = start, end
    while first > max(0, start - reach) and is_word(text[first - 1]):
        first -= 1
    while last < min(len(text), end + reach) and is_word(text[last]):
        last += 1
    return first, last


def _is_made_of(text: str, words: frozenset[str]) -> bool:
    """Whether a short string is a concatenation of some of `words`."""
    reached = {0}
    for start in range(len(text)):
        if start in reached:
            reached |= {start + size for size in range(1, 12) if text[start : start + size] in words}
    return len(text) in reached


def _spelled(text: Text, value: Any) -> Iterator[Sighting]:
    letters = _NOT_ALNUM.sub("", fold(str(value)))
    if len(letters) < SHORT:
        return
    for span, joined in text.spelled:
        if letters in joined:
            yield Sighting(span, LeakForm.PARAPHRASED, is_free=not letters.isdigit())
        elif letters[::-1] in joined and not letters.isdigit():
            yield Sighting(span, LeakForm.PARAPHRASED, is_free=text.hints_at_cipher)
