"""Numbers as people write them: `1,500`, `1.5 km`, `2.5k`, `75%`, `three quarters`, `twelve hundred`."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from fission_grpo.simulators.leak.vocabulary import COUNTED, PRONOUN_LEADS

_TOLERANCE = 0.002
"""Relative error of a converted number: people round."""

_DIMENSIONS: tuple[dict[str, float], ...] = (
    {"mm millimetre millimeter": 1e-3, "cm centimetre centimeter": 0.01, "m metre meter": 1.0, "km kilometre kilometer": 1e3}
    | {"in inch inche": 0.0254, "ft foot feet": 0.3048, "yd yard": 0.9144, "mi mile": 1609.344},
    {"ms millisecond": 1e-3, "s sec second": 1.0, "min minute": 60.0, "h hr hour": 3.6e3, "d day": 8.64e4, "week": 6.048e5},
    {"ml millilitre milliliter": 1e-3, "cl centilitre centiliter": 0.01, "l litre liter": 1.0, "gal gallon": 3.785411784}
    | {"quart": 0.946352946, "pint": 0.473176473},
    {"mg milligram": 1e-6, "g gram": 1e-3, "kg kilo kilogram": 1.0, "t ton tonne": 1e3}
    | {"lb pound": 0.45359237, "oz ounce": 0.028349523},
    {"byte": 1.0, "kb kilobyte": 1e3, "mb megabyte": 1e6, "gb gigabyte": 1e9},
    {"byte": 1.0, "kb kib kilobyte": 2.0**10, "mb mib megabyte": 2.0**20, "gb gib gigabyte": 2.0**30},
    {"cent": 0.01, "dollar buck usd euro eur": 1.0},
    {"km/h kmh kph": 1.0, "mph": 1.609344},
    {"% percent percentage": 0.01, "": 1.0},
)
"""Units, by the factor to the base unit of their dimension. A unit may be of more than one."""
_FACTORS: dict[str, list[tuple[int, float]]] = defaultdict(list)
for _dimension, _units in enumerate(_DIMENSIONS):
    for _names, _factor in _units.items():
        for _name in _names.split():
            _FACTORS[_name].append((_dimension, _factor))
_SCALES = {"k": 1e3, "thousand": 1e3, "mio": 1e6, "million": 1e6, "hundred": 100.0, "dozen": 12.0, "bn": 1e9, "billion": 1e9}

_SMALL_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_SMALL: dict[str, int] = {word: number for number, word in enumerate(_SMALL_NAMES.split())}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {
    "half": 1 / 2,
    "third": 1 / 3,
    "thirds": 1 / 3,
    "quarter": 1 / 4,
    "quarters": 1 / 4,
    "fifth": 1 / 5,
    "fifths": 1 / 5,
    "tenth": 1 / 10,
}
_BIG = {"thousand": 1000, "million": 1_000_000, "dozen": 12}
_WORD = "|".join(sorted([*_SMALL, *_TENS, *_PARTS, *_BIG, "hundred", "point", "minus", "negative", "a", "an"], reverse=True))
_PHRASE = re.compile(rf"(?<!\w)(?:{_WORD})(?:(?: and |, | - |[ -])(?:{_WORD})(?!\w))*(?!\w)")
_AND_A_PART = re.compile(r" and a (half|quarter|third)(?!\w)")
_LETTERS = re.compile(r"[a-z]+")
_JOINT = re.compile(" and |, ")
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?P<whole>\d{1,3}(?:[ ,_]\d{3}(?!\d))+|\d+)(?P<part>[.,]\d+)?(?:e(?P<power>[-+]?\d{1,2})(?!\w))?"
    r"(?: ?/ ?(?P<below>\d{1,6}))?"
)
_SUFFIX = re.compile(r"[ -]?(k|thousand|mio|million|hundred|dozen|bn|billion)?(?!\w)|(?=[a-z%])")
_UNIT = re.compile(r"[ -]?(%|km/h|[a-z]{1,12})(?!\w)")


@dataclass(frozen=True)
class Quantity:
    """A number in a text, with its unit if it has one.

    Attributes:
        number: as it stands there.
        units: (dimension, factor to the base unit) of every unit that it may have.
        in_digits: written in digits, without unit or scale.
    """

    start: int
    end: int
    number: float
    units: tuple[tuple[int, float], ...] = ()
    in_digits: bool = True

    def readings(self) -> Iterator[float]:
        """The number, and what it is in every other unit of its dimension."""
        yield self.number
        for dimension, factor in self.units:
            for other in _DIMENSIONS[dimension].values():
                if other != factor:
                    yield self.number * factor / other


class Quantities:
    """All numbers of a folded text, to be asked for one."""

    def __init__(self, text: str) -> None:
        found = [*_digit_quantities(text), *_word_quantities(text)]
        self._index: dict[int, list[tuple[Quantity, float]]] = defaultdict(list)
        for quantity in [*found, *_sums(found, text)]:
            for reading in quantity.readings():
                self._index[_bucket(reading)].append((quantity, reading))

    def equal_to(self, number: float) -> Iterator[Quantity]:
        """The quantities that say `number`."""
        middle = _bucket(number)
        for quantity, reading in (each for near in (-1, 0, 1) for each in self._index.get(middle + near, ())):
            tolerance = 1e-9 if reading == quantity.number else _TOLERANCE
            if math.isclose(reading, number, rel_tol=tolerance):
                yield quantity


def _bucket(number: float) -> int:
    """Numbers within the tolerance of each other fall into the same bucket or into neighbours, whatever their sign."""
    return round(math.log(abs(number)) / (2 * _TOLERANCE)) if number else -(10**9)


def _digit_quantities(text: str) -> Iterator[Quantity]:
    for found in _NUMBER.finditer(text):
        number = _read_digits(found)
        if number is not None and math.isfinite(number):
            yield _with_unit(text, found.start(), found.end(), number, in_digits=found["below"] is None)


def _read_digits(found: re.Match[str]) -> float | None:
    whole, part, below = found["whole"], found["part"] or "", found["below"]
    if len(whole) > 18 or len(part) > 18 or (below is not None and int(below) == 0):
        return None
    number = float(re.sub(r"\D", "", whole) + part.replace(",", ".")) * 10.0 ** int(found["power"] or 0)
    return (-number if found[0][0] == "-" else number) / int(below or 1)


def _with_unit(text: str, start: int, end: int, number: float, in_digits: bool) -> Quantity:
    if (scale := _SUFFIX.match(text, end)) and scale[1]:
        number, end, in_digits = number * _SCALES[scale[1]], scale.end(), False
    unit = _UNIT.match(text, end)
    name = unit[1] if unit else ""
    units = _FACTORS.get(name) or _FACTORS.get(name.removesuffix("s"), ())
    if unit is None or not units:
        return Quantity(start, end, number, (), in_digits)
    end = unit.end()
    if part := _AND_A_PART.match(text, end):
        number, end, in_digits = number + _PARTS[part[1]], part.end(), False
    return Quantity(start, end, number, tuple(units), in_digits)


def _word_quantities(text: str) -> Iterator[Quantity]:
    """Number words, read as one number, and as a list of several (`two and one`, `fifty-seven and three hundred`)."""
    for found in _PHRASE.finditer(text):
        for start, end in {found.span(): None, **dict.fromkeys(_list_items(found))}:
            yield from _read_phrase(text, start, end)


def _list_items(phrase: re.Match[str]) -> Iterator[tuple[int, int]]:
    """What stands between `and` and commas, and every single word."""
    start = phrase.start()
    for joint in _JOINT.finditer(phrase[0]):
        yield start, phrase.start() + joint.start()
        start = phrase.start() + joint.end()
    yield start, phrase.end()
    yield from ((phrase.start() + word.start(), phrase.start() + word.end()) for word in _LETTERS.finditer(phrase[0]))


def _read_phrase(text: str, start: int, end: int) -> Iterator[Quantity]:
    words = tuple(word for word in _LETTERS.findall(text, start, end) if word != "and")
    if words in (("a",), ("an",)):
        yield from _article(text, start, end)
    elif words != ("one",) or not _is_pronoun(text, start, end):
        for number in _read_words(words):
            yield _with_unit(text, start, end, number, in_digits=False)


def _article(text: str, start: int, end: int) -> Iterator[Quantity]:
    """`an hour` is one hour, while `a value` is no number."""
    quantity = _with_unit(text, start, end, 1.0, in_digits=False)
    if quantity.units and quantity.end - end > 3:
        yield quantity


def _is_pronoun(text: str, start: int, end: int) -> bool:
    before, after = re.search(r"(\w+) $", text[max(0, start - 20) : start]), re.match(r" (\w+)", text[end : end + 20])
    return bool((before and before[1] in PRONOUN_LEADS) or (after and after[1] in COUNTED))


@lru_cache(maxsize=4096)
def _read_words(words: tuple[str, ...]) -> tuple[float, ...]:
    """What a run of number words may say: `one five` is 15 digit by digit, `two thousand and five` 2005."""
    if all(word in ("a", "an", "point", "minus", "negative") for word in words):
        return ()
    negative = words[0] in ("minus", "negative")
    words = words[1:] if negative else words
    if len(words) > 1 and all(_SMALL.get(word, 10) < 10 for word in words):
        found = [float("".join(str(_SMALL[word]) for word in words[:18]))]
    else:
        before, _, after = " ".join(words).partition(" point ")
        number = _read_cardinal(before.split())
        decimals = "".join(str(_SMALL.get(word, "")) for word in after.split()[:15])
        found = [] if number is None else [number + (float(f"0.{decimals}") if decimals else 0.0)]
    return tuple(-number if negative else number for number in found)


def _read_cardinal(words: list[str]) -> float | None:
    total, group, seen = 0.0, 0.0, False
    for index, word in enumerate(words[:30]):
        if word in ("a", "an"):
            follows = words[index + 1 : index + 2]
            if follows and follows[0] in _PARTS:
                total, group = total + group, 0.0
            group += 1.0 if follows else 0.0
        elif word in _PARTS:
            # `three quarters` multiplies, `one and a half` adds: the `a` has begun a new group.
            group = max(group, 1.0) * _PARTS[word]
        elif word == "hundred":
            group = max(group, 1.0) * 100
        elif word in _BIG:
            if group % 1:  # `two and a half thousand`
                total, group = 0.0, total + group
            total, group = total + (group or 1.0) * _BIG[word], 0.0
        elif word in _SMALL or word in _TENS:
            group += _SMALL.get(word, _TENS.get(word, 0))
        else:
            return None
        seen = True
    return total + group if seen else None


def _sums(found: list[Quantity], text: str) -> Iterator[Quantity]:
    """`1 h 30 min`: neighbours of one dimension, the larger unit first."""
    ordered = sorted((each for each in found if each.units), key=lambda each: each.start)
    for first, second in pairwise(ordered):
        (dimension, large), (other, small) = first.units[0], second.units[0]
        between = text[first.end : second.start]
        if dimension == other and large > small and between in (" ", ", ", " and ", ""):
            number = first.number * large / small + second.number
            yield Quantity(first.start, second.end, number, second.units, in_digits=False)
