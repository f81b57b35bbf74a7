"""Times as integers: ticks of 100 ns since 1970-01-01 UTC.

KQL's datetime has exactly this resolution. Python's datetime is ten times coarser: an operation one
tick past the hour would seem to lie on it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

SECOND = 10_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.(\d{1,7}))?)?)?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_LONG_FRACTION = re.compile(r"\.\d{8}", re.ASCII)
# Days, hours, minutes and seconds of an ISO 8601 duration.
DURATION_PATTERN = (
    r"P(?=[\dT])(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?"
)
_MAX_SECONDS = 100_000  # remembered: a window has 7,200, a recording may have many more


def parse_time(text: str) -> int:
    """Parse an ISO 8601 time with 0 to 7 fraction digits; without an offset it is UTC.

    Raises ValueError for anything else.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        limit = " with at most 7 fraction digits" if _LONG_FRACTION.search(text) else ""
        raise ValueError(f"{text[:60]!r} is not an ISO 8601 time{limit}")
    day, minute, second, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z") else offset
    whole = f"{day}T{minute or '00:00'}{(second or ':00')[:3]}{zone}"
    try:
        ticks = from_datetime(datetime.fromisoformat(whole))
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is not a valid time: {error}") from None
    return ticks + int((fraction or "0").ljust(7, "0"))


class TimeParser:
    """Reads columns of times, and remembers the seconds it has read: rows share them."""

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}

    def parse_column(self, values: Sequence[Any]) -> list[int]:
        """Read a column as ticks; raises ValueError(position, reason) for the first bad one."""
        if len(self._seconds) > _MAX_SECONDS:
            self._seconds.clear()
        seconds = self._seconds
        ticks: list[int] = []
        try:
            for text in values:
                fraction = text[20:27]
                # As Log Analytics writes times: 2026-03-14T10:00:00.0000000Z.
                usual = text[19:20] == "." and text[27:] == "Z" and fraction.isdecimal()
                if not (usual and fraction.isascii()):
                    ticks.append(parse_time(text))
                elif (second := seconds.get(text[:19])) is not None:
                    ticks.append(second + int(fraction))
                else:  # all of it is parsed, so that an error quotes it as it is
                    ticks.append(parse_time(text))
                    seconds[text[:19]] = ticks[-1] - int(fraction)
        except (TypeError, KeyError, AttributeError):  # not a text: null, a number, an array, ...
            raise ValueError(
                len(ticks), f"{values[len(ticks)]!r:.60} is not an ISO 8601 time"
            ) from None
        except ValueError as error:
            raise ValueError(len(ticks), str(error)) from None
        return ticks


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


def parse_duration(text: str) -> int:
    """Parse an ISO 8601 duration of days, hours, minutes and seconds as ticks, more than none.

    Raises ValueError for anything else; months and years have no fixed length.
    """
    match = re.fullmatch(DURATION_PATTERN, text, re.ASCII)
    parts = [int(part or 0) for part in match.groups()] if match else []
    ticks = sum(n * unit for n, unit in zip(parts, (DAY, HOUR, MINUTE, SECOND), strict=False))
    if not ticks:
        raise ValueError("is not a duration such as PT1H, PT90M or P1D")
    return ticks


def describe_duration(ticks: int) -> str:
    """Write a duration for a sentence, in its largest whole unit: "1 day", "90 minutes"."""
    units = {"day": DAY, "hour": HOUR, "minute": MINUTE}
    noun = next((noun for noun, unit in units.items() if ticks % unit == 0), "second")
    number = ticks // units.get(noun, SECOND)
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_duration(ticks: int) -> str:
    """Write a duration of whole days or whole hours as ISO 8601."""
    return f"P{ticks // DAY}D" if ticks % DAY == 0 else f"PT{ticks // HOUR}H"
