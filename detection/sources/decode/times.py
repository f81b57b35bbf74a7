"""Reads the times of exported files, which people's tools write in more forms than ISO 8601.

Each accepted form is one moment only. A form that two countries read differently is refused.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from detection.rule.ticks import SECOND, TimeParser, format_time

_MILLISECOND: Final = SECOND // 1000
# Milliseconds since 1970 from 1973 to 5138; seconds and microseconds of this century lie outside.
_EPOCH_MILLISECONDS: Final = range(10**11, 10**14)
# Windows PowerShell's ConvertTo-Json; an offset behind the number does not change the moment.
_POWERSHELL: Final = re.compile(r"\\?/Date\((-?\d{1,15})(?:[+-]\d{4})?\)\\?/", re.ASCII)
_DIGITS: Final = re.compile(r"\d{12,14}", re.ASCII)
_CLOCK: Final = r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?"
# The portal in English (United States): 3/14/2026, 8:33:04.115 AM. Countries with the day first
# write "am", or 24 hours.
_MONTH_FIRST: Final = re.compile(rf"(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}),? {_CLOCK} (AM|PM)", re.ASCII)
# The portal in Japanese and other languages (github.com/MicrosoftDocs/azure-docs/issues/66181).
_YEAR_FIRST: Final = re.compile(rf"(\d{{4}})/(\d{{1,2}})/(\d{{1,2}}),? {_CLOCK}", re.ASCII)
# DuckDB and PostgreSQL write +00, others +0000.
_SHORT_OFFSET: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)([+-]\d\d)(\d\d)?", re.ASCII
)
_LOCAL: Final = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\D.*", re.ASCII | re.DOTALL)


class FileTimeParser(TimeParser):
    """Reads columns of times in any accepted form."""

    def parse_column(self, values: Sequence[Any]) -> list[int]:
        """Read a column as ticks; raises ValueError(position, reason) for the first bad one."""
        try:
            return super().parse_column(values)
        except ValueError:  # some are not ISO 8601
            texts = []
            for position, value in enumerate(values):
                try:
                    texts.append(iso_time(value))
                except ValueError as error:
                    raise ValueError(position, str(error)) from None
            return super().parse_column(texts)


def iso_time(value: Any) -> Any:
    """Return a time in another accepted form as ISO 8601 UTC, and any other value as it is.

    Raises ValueError for a time whose form does not tell the moment.
    """
    if isinstance(value, dict) and "value" in value:  # PowerShell, of an object with a date inside
        value = value["value"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if int(value) not in _EPOCH_MILLISECONDS:
            raise ValueError(f"{value} is a number, but not of milliseconds since 1970")
        return format_time(int(value) * _MILLISECOND)
    return _iso_text(" ".join(value.split())) if isinstance(value, str) else value


def _iso_text(text: str) -> str:
    """Return a time whose white space is single blanks: some browsers write a narrow one."""
    if (match := _POWERSHELL.fullmatch(text)) or (match := _DIGITS.fullmatch(text)):
        return format_time(int(match[1] if match.re is _POWERSHELL else match[0]) * _MILLISECOND)
    if match := _SHORT_OFFSET.fullmatch(text):
        return f"{match[1]}{match[2]}:{match[3] or '00'}"
    if match := _MONTH_FIRST.fullmatch(text):
        month, day, year, hour, *rest, half = match.groups()
        if not 1 <= int(hour) <= 12:
            raise ValueError(f"{text!r} has no hour from 1 to 12")
        return _iso(year, month, day, int(hour) % 12 + 12 * (half == "PM"), *rest)
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, hour, *rest = match.groups()
        return _iso(year, month, day, int(hour), *rest)
    if _LOCAL.fullmatch(text) and not re.match(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError(
            f"{text[:60]!r} does not tell day and month apart: export again with the language "
            "English (United States), or with ISO 8601 times such as 2026-03-14T08:33:04Z"
        )
    return text


def _iso(  # noqa: PLR0913, PLR0917 - the parts of a time
    year: str, month: str, day: str, hour: int, minute: str, second: str | None, part: str | None
) -> str:
    fraction = f".{part}" if part else ""
    return f"{year}-{int(month):02}-{int(day):02}T{hour:02}:{minute}:{second or '00'}{fraction}Z"
