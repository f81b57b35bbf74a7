"""The queries, one file each, and the only way to put values into them.

A file holds placeholders such as `{start}`. What replaces one is written as a KQL literal here,
so no value can become part of the query's own text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from detection.rule.log_rows import TableShape
from detection.rule.ticks import format_time

FOLDER: Final = Path(__file__).parent
PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Query(str):
    """A query, or a part of one, made by query() and by nothing else."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    ticks: int


Value = int | str | tuple[str, ...] | range | Duration | Query | TableShape


def query(name: str, **values: Value) -> Query:
    """Return the query in `name`.kql with its placeholders replaced by `values`.

    An int is a moment in ticks, a str an identifier such as a watchlist's alias, a tuple a list
    of texts, a range whole numbers from its start to before its stop, a TableShape its table, a
    Query itself. Raises ValueError for a value that is none of these or cannot be written safely,
    for an unknown query, and for values that are not its placeholders.
    """
    wanted = _template(name).wanted
    if values.keys() != wanted:
        raise ValueError(f"{name}.kql takes {sorted(wanted)}, not {sorted(values)}")
    (made,) = queries([name], **values)
    return made


def queries(names: Iterable[str], **values: Value) -> list[Query]:
    """Return several queries, each with those of the values that are its placeholders.

    Raises ValueError as query() does, and KeyError for a placeholder without a value.
    """
    literals = {key: _literal(value) for key, value in values.items()}
    return [Query(_template(name).text % literals) for name in names]


class _Template(NamedTuple):
    """A query with %(placeholders)s, and their names."""

    text: str
    wanted: frozenset[str]


@cache
def _template(name: str) -> _Template:
    path = FOLDER / f"{name}.kql"
    if not TABLE.fullmatch(name) or not path.is_file():
        raise ValueError(f"{name!r:.60} is no query")
    text = path.read_text("utf-8")
    return _Template(
        PLACEHOLDER.sub(r"%(\1)s", text.replace("%", "%%")), frozenset(PLACEHOLDER.findall(text))
    )


def _literal(value: object) -> str:
    """Write a value in KQL; raises ValueError if it cannot be."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _moment(value)
    # A Query is a str too, and a TableShape a tuple, so they come first.
    if isinstance(value, Query):
        return value.rstrip()
    if isinstance(value, TableShape):
        return _checked(TABLE, value.name)
    if isinstance(value, tuple):
        if not value:
            raise ValueError("a list in a query needs at least one text")
        return ", ".join(map(_text, value))
    if isinstance(value, str):
        return f'"{_checked(IDENTIFIER, value)}"'
    return _extent(value)


def _extent(value: object) -> str:
    if isinstance(value, range):
        return f"({value.start} .. {value.stop - 1})"
    if isinstance(value, Duration):
        return f"{value.ticks}tick"
    raise ValueError(f"{value!r:.60} cannot be put into a query")


def _checked(shape: re.Pattern[str], text: object) -> str:
    if not isinstance(text, str) or not shape.fullmatch(text):
        raise ValueError(f"{text!r:.60} is not a name that can be put into a query")
    return text


def _moment(ticks: int) -> str:
    try:
        return f"datetime({format_time(ticks)})"
    except OverflowError:
        raise ValueError(f"{ticks} ticks are no moment between the years 1 and 9999") from None


def _text(text: object) -> str:
    """Write any printable text; what cannot be seen has no business in a query."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{text!r:.60} holds characters that cannot be put into a query")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
