"""Dates and times of day in the formats that people write them in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS: tuple[str, ...] = tuple(_MONTH_NAMES.split())
_ORDINAL_NAMES = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third"
    " twenty-fourth twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)
_ORDINALS: tuple[str, ...] = tuple(_ORDINAL_NAMES.split())
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)(?![a-z])\.?"
)
_DAY = rf"(?P<day>\d{{1,2}}|{'|'.join(reversed(_ORDINALS))})(?:st|nd|rd|th)?(?!\w)"
_YEAR = r"(?:,?[ -/]{0,2}(?:of )?(?P<year>\d{4})(?!\d))?"
_DATES = (
    re.compile(r"(?<!\w)(?P<year>\d{4})[-/. ](?P<month>\d{1,2})[-/. ](?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\w)(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?!\w)"),
    re.compile(r"(?<!\w)(?P<month>\d{1,2})[-/. ](?P<day>\d{1,2})[-/. ](?P<year>\d{4}|\d\d)(?!\w)"),
    re.compile(r"(?<!\w)(?P<day>\d{1,2})[-/. ](?P<month>\d{1,2})[-/. ](?P<year>\d{4}|\d\d)(?!\w)"),
    re.compile(rf"(?<!\w){_DAY}(?: day)?(?: of)?[ -/]?{_MONTH}{_YEAR}"),
    re.compile(rf"(?<![a-z]){_MONTH}[ -]?(?:the )?{_DAY}{_YEAR}"),
)
_CLOCK = re.compile(r"(?<![\w:])(?P<hour>\d{1,2})(?:[:h](?P<minute>\d\d))?(?::\d\d)?(?: ?(?P<half>[ap])\.?m\.?)?(?!\w)")
_NAMED_TIMES = {"noon": (12, 0), "midday": (12, 0), "midnight": (0, 0)}
_NAMED = re.compile(r"(?<!\w)(?:noon|midday|midnight)(?!\w)")


@dataclass(frozen=True)
class Moment:
    """A date (year None where none was given), a time of day, or both."""

    date: tuple[int | None, int, int] | None = None
    time: tuple[int, int] | None = None


@lru_cache(maxsize=4096)
def moments_of(value: str) -> frozenset[Moment]:
    """What a whole folded value may mean as a moment: `11/05/2024` is in May or in November."""
    if len(value) > 40 or not any(each.isdigit() for each in value):
        return frozenset()
    clock = re.search(r"\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]\.?m\.?)?z?$", value)
    times = [moment.time for _, moment in _times(clock[0].rstrip("z"))] if clock else [None]
    rest = value[: clock.start()].rstrip(" t,") if clock else value
    dates = [moment.date for (start, end), moment in _dates(rest) if (start, end) == (0, len(rest)) and _has_year(moment)]
    if rest and not dates:
        return frozenset()
    return frozenset(Moment(date, time) for date in dates or [None] for time in times if date or time)


def find_moments(text: str) -> list[tuple[tuple[int, int], Moment]]:
    """Every date and every time of day in a folded text, with its place."""
    return [*_dates(text), *_times(text)]


def _has_year(moment: Moment) -> bool:
    return moment.date is not None and moment.date[0] is not None


def _dates(text: str) -> Iterator[tuple[tuple[int, int], Moment]]:
    for pattern in _DATES:
        for found in pattern.finditer(text):
            month, day, year = _month(found["month"]), _day(found["day"]), found["year"]
            if 1 <= month <= 12 and 1 <= day <= 31:
                yield found.span(), Moment((_year(year), month, day))


def _times(text: str) -> Iterator[tuple[tuple[int, int], Moment]]:
    for found in _CLOCK.finditer(text):
        hour, minute, half = int(found["hour"]), int(found["minute"] or 0), found["half"]
        if (found["minute"] or half) and hour < 24 and minute < 60:
            yield found.span(), Moment(time=(hour % 12 + 12 * (half == "p") if half else hour, minute))
    for found in _NAMED.finditer(text):
        yield found.span(), Moment(time=_NAMED_TIMES[found[0]])


def _month(written: str) -> int:
    return int(written) if written.isdigit() else _MONTHS.index(written[:3]) + 1


def _day(written: str) -> int:
    return int(written) if written.isdigit() else _ORDINALS.index(written) + 1


def _year(written: str | None) -> int | None:
    if written is None:
        return None
    return int(written) if len(written) == 4 else 2000 + int(written)
