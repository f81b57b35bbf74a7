"""Renders the queries: fills in the placeholders of the .kql files, one file for each query.

A file holds placeholders such as `{start}`. This module writes every value as a KQL literal, so no
value can become query text. Placeholders of constants.py are filled in here and nowhere else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from detection.kql.constants import CONSTANTS, Constant
from detection.rule.log_rows import TableShape
from detection.rule.ticks import HOUR, MINUTE, SECOND, format_time

FOLDER: Final = Path(__file__).parent
PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Query(str):
    """A query, or a part of one, that query() or queries() made."""

    __slots__ = ()


class Name(str):
    """The name of a value that the query itself declares."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in ticks."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Ago:
    """The moment so many ticks before the query runs; none is the moment when it runs."""

    ticks: int


Value = int | str | tuple[str, ...] | range | Duration | Ago | Name | Query | TableShape


def query(name: str, **values: Value) -> Query:
    """Return the query in `name`.kql with its placeholders replaced by `values`.

    An int is a moment in ticks, a str an identifier such as a watchlist's alias, a tuple a list of
    texts, a range the whole numbers in it, a TableShape the name of its table, a Name a value that
    the query declares, and a Query a part of the query. Constants are filled in without being
    passed. Raises ValueError for an unknown query, for values that are not its placeholders, and
    for a value of another type or one that cannot be written safely.
    """
    wanted = _template(name).wanted
    if values.keys() != wanted:
        raise ValueError(f"{name}.kql takes {sorted(wanted)}, not {sorted(values)}")
    (made,) = queries([name], **values)
    return made


def queries(names: Iterable[str], **values: Value) -> list[Query]:
    """Return several queries, each filled in with those `values` that are its placeholders.

    Raises ValueError as query() does, and KeyError for a placeholder without a value.
    """
    literals = {key: _literal(value) for key, value in values.items()}
    return [Query(_template(name).text % literals) for name in names]


class _Template(NamedTuple):
    """A query with %(placeholders)s for values, and the names of these values."""

    text: str
    wanted: frozenset[str]


@cache
def _template(name: str) -> _Template:
    path = FOLDER / f"{name}.kql"
    if not TABLE.fullmatch(name) or not path.is_file():
        raise ValueError(f"there is no query {name!r:.60}")
    text = path.read_text("utf-8")
    for constant, value in CONSTANTS.items():
        text = text.replace(f"{{{constant}}}", _constant(value))
    return _Template(
        PLACEHOLDER.sub(r"%(\1)s", text.replace("%", "%%")), frozenset(PLACEHOLDER.findall(text))
    )


def _constant(value: Constant) -> str:
    """Write a constant in KQL."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    return _texts(value)


def _literal(value: object) -> str:
    """Write a value in KQL; raises ValueError if that is impossible."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _moment(value)
    # Query and Name are subclasses of str, and TableShape of tuple, so they come first.
    if isinstance(value, Query):
        return value.rstrip()
    if isinstance(value, TableShape | Name):
        return _checked(TABLE, value.name if isinstance(value, TableShape) else value)
    if isinstance(value, tuple):
        return _texts(value)
    if isinstance(value, str):
        return f'"{_checked(IDENTIFIER, value)}"'
    return _range_or_time(value)


def _range_or_time(value: object) -> str:
    if isinstance(value, range):
        return f"({value.start} .. {value.stop - 1})"
    if isinstance(value, Duration):
        return _duration(value.ticks)
    if isinstance(value, Ago):
        return f"ago({_duration(value.ticks)})" if value.ticks else "now()"
    raise ValueError(f"{value!r:.60} cannot be put into a query")


def _duration(ticks: int) -> str:
    """Write a length of time in its largest whole unit."""
    units = ((HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "tick"))
    return next(f"{ticks // unit}{name}" for unit, name in units if ticks % unit == 0)


def _checked(shape: re.Pattern[str], text: object) -> str:
    if not isinstance(text, str) or not shape.fullmatch(text):
        raise ValueError(f"{text!r:.60} is not a name that can be put into a query")
    return text


def _moment(ticks: int) -> str:
    try:
        return f"datetime({format_time(ticks)})"
    except OverflowError:
        raise ValueError(f"{ticks} ticks are outside the years 1 to 9999") from None


def _texts(texts: Iterable[object]) -> str:
    """Write a list of texts; raises ValueError for an empty one, which KQL does not allow."""
    written = ", ".join(map(_text, texts))
    if not written:
        raise ValueError("a list in a query needs at least one text")
    return written


def _text(text: object) -> str:
    """Write a text; raises ValueError unless all of its characters are printable."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{text!r:.60} holds characters that cannot be put into a query")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
