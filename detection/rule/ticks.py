"""Times as integers: ticks of 100 ns since 1970-01-01 UTC.

KQL's datetime has exactly this resolution. Python's datetime is ten times coarser: an operation one
tick past the hour would seem to lie on it.
"""

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import add
from typing import Any

import orjson

from detection.rule.memo import Memo

SECOND = 10_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.(\d{1,7}))?)?)?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)
# As Log Analytics writes moments, a line each: 2026-03-14T10:00:00.0000000Z.
_LINE = 29
_MARKS = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":", 19: b".", 27: b"Z", 28: b"\n"}
_SECOND_DIGITS = (17, 18, 20, 21, 22, 23, 24, 25, 26)


def parse_time(text: str) -> int:
    """Parse an ISO 8601 time with 0 to 7 fraction digits; without an offset it is UTC.

    Raises ValueError for anything else.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:60]!r} is not an ISO 8601 time with at most 7 fraction digits")
    day, minute, second, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z") else offset
    whole = f"{day}T{minute or '00:00'}{(second or ':00')[:3]}{zone}"
    try:
        ticks = from_datetime(datetime.fromisoformat(whole))
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is not a valid time: {error}") from None
    return ticks + int((fraction or "0").ljust(7, "0"))


class TimeParser:
    """Reads columns of moments, and remembers the minutes it has met.

    Rows of two hours share 120 of them, so nearly every row is a look-up and a number.
    """

    def __init__(self) -> None:
        # Less the 100 seconds that the 1 before each number is worth.
        self._starts = Memo[str, int](
            lambda start: parse_time(start + ":00.0000000Z") - 100 * SECOND
        )

    def parse_column(self, values: Sequence[Any]) -> list[int]:
        """Parse a column; raises ValueError(position, reason) for the first invalid value."""
        with contextlib.suppress(ValueError, TypeError, KeyError):  # an object has no slice
            return self._parse_usual(values)
        ticks: list[int] = []
        for text in values:
            try:
                if not isinstance(text, str):
                    raise ValueError(f"{text!r:.60} is not an ISO 8601 time")
                ticks.append(parse_time(text))
            except ValueError as error:
                raise ValueError(len(ticks), str(error)) from None
        return ticks

    def _parse_usual(self, texts: Sequence[str]) -> list[int]:
        """Read texts that are all as Log Analytics writes them, a place of all of them at a time.

        Raises ValueError, TypeError or KeyError if any is not.
        """
        lines = ("\n".join(texts) + "\n").encode("ascii")
        marks = b"".join(_MARKS.values()) * len(texts)
        in_place = all(lines[at::_LINE] == mark * len(texts) for at, mark in _MARKS.items())
        if lines.translate(None, b"0123456789") != marks or not in_place:
            raise ValueError("not all texts have seven fraction digits and Z")
        if max(lines[_SECOND_DIGITS[0] :: _LINE]) > ord("5"):
            raise ValueError("a minute has sixty seconds")
        # As JSON, since numbers are read faster so; none may begin with a zero.
        width = len(_SECOND_DIGITS) + 2  # a 1 before them, and a comma behind
        numbers = bytearray(b"1".ljust(width, b",")) * len(texts)
        for at, place in enumerate(_SECOND_DIGITS, start=1):
            numbers[at::width] = lines[place::_LINE]
        starts = map(self._starts.__getitem__, [text[:16] for text in texts])
        return list(map(add, starts, orjson.loads(b"[" + numbers[:-1] + b"]")))


def format_time(ticks: int) -> str:
    """Format a time as ISO 8601 UTC with all seven fraction digits and `Z`."""
    seconds, fraction = divmod(ticks, SECOND)
    # Adding SECOND keeps the fraction's leading zeros, and is faster than a zero-padding format.
    return f"{_format_second(seconds)}.{str(fraction + SECOND)[1:]}Z"


@lru_cache(maxsize=10_000)  # a window of two hours has 7,200 seconds
def _format_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def from_datetime(moment: datetime) -> int:
    """Return the ticks of an aware datetime."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 10
