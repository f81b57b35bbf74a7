"""Moments as whole ticks of 100 ns since 1970-01-01 UTC.

KQL's datetime has exactly this resolution. Python's datetime has ten times less, so a pair that
is one tick past the hour would look as if it were on it.
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
_SECONDS = re.compile(r"(?::[0-5][0-9]\.[0-9]{7}Z)+")


def parse(text: str) -> int:
    """Read an ISO 8601 moment with 0 to 7 fraction digits; without an offset it is UTC.

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
        raise ValueError(f"{text[:60]!r} is no moment: {error}") from None
    return ticks + int((fraction or "0").ljust(7, "0"))


class Minutes:
    """Reads columns of moments, and remembers the minutes it has met.

    Rows of two hours share 120 of them, so nearly every row is a look-up and a number.
    """

    def __init__(self) -> None:
        # Less the 100 seconds that the 1 before each number is worth.
        self._starts = Memo[str, int](lambda start: parse(start + ":00.0000000Z") - 100 * SECOND)

    def parse_column(self, values: Sequence[Any]) -> list[int]:
        """Read a column; raises ValueError(position, reason) for the first that is unreadable."""
        with contextlib.suppress(ValueError, TypeError, KeyError):  # an object has no slice
            return self._parse_usual(values)
        ticks: list[int] = []
        for text in values:
            try:
                if not isinstance(text, str):
                    raise ValueError(f"{text!r:.60} is not an ISO 8601 time")
                ticks.append(parse(text))
            except ValueError as error:
                raise ValueError(len(ticks), str(error)) from None
        return ticks

    def _parse_usual(self, texts: Sequence[str]) -> list[int]:
        """Read texts that are all as Log Analytics writes them, like 2026-03-14T10:00:00.0000000Z.

        Raises ValueError, TypeError or KeyError if any is not.
        """
        seconds = "".join([text[16:] for text in texts])
        if set(map(len, texts)) != {28} or not _SECONDS.fullmatch(seconds):
            raise ValueError("not all texts have seven fraction digits and Z")
        starts = map(self._starts.__getitem__, [text[:16] for text in texts])
        # As JSON, since numbers are read faster so; none may begin with a zero.
        numbers = seconds.replace(":", "1").replace(".", "").replace("Z", ",")[:-1]
        return list(map(add, starts, orjson.loads(f"[{numbers}]")))


def text_of(ticks: int) -> str:
    """Write a moment as ISO 8601 UTC with all seven fraction digits and `Z`."""
    seconds, fraction = divmod(ticks, SECOND)
    # A digit before it keeps the fraction's zeros, and costs less than a format that adds them.
    return f"{_second(seconds)}.{str(fraction + SECOND)[1:]}Z"


@lru_cache(maxsize=10_000)  # a window has 7,200
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def from_datetime(moment: datetime) -> int:
    """Return the ticks of an aware datetime."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 10
