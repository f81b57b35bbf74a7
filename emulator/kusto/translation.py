"""KQL as DuckDB's SQL: duckdb-kql translates it as Kusto was measured to behave.

This module adds the functions that duckdb-kql lacks and that the product's queries use:

- `row_number`, `row_cumsum` and `prev`, which read rows in their order; `translate`; `ipv4_compare`
  and `ipv6_compare`; `make_list_if`, `make_set_if`, `count_distinct`; a `make_list` that keeps its
  limit; and `hash`, for which any spread over the buckets works, so it is bucket_of();
- `ingestion_time()` is the column INGESTED, and `column_ifexists("X", other)` is X or the other;
- `_GetWatchlist("X")` is the table X;
- `now()` and `ago(...)` are relative to the given moment.

A query in ticks has whole numbers of 100 ns for times and durations, in literals and in tables,
because DuckDB compares times by the microsecond, which is ten ticks. It has no function for dates.

Case beyond ASCII is ignored within `has` and `=~`, so a long s is an S.
"""

import hashlib
import itertools
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

import duckdb_kql
from duckdb_kql.translate.functions import (
    AGGREGATE_FUNCTIONS,
    SCALAR_FUNCTIONS,
    AggregateSpec,
    FunctionSpec,
)

from detection.kql.constants import BUCKETS
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from emulator.kusto.addresses import ipv4_compare, ipv6_compare

INGESTED: Final = "IngestionTimeOfRow"
_PLACES: Final = 8_000_000_000_000_000_000  # from here on, numbers stand for those of a query
_SO_FAR: Final = "OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
_ADDED: Final = {
    "row_number": f"row_number() {_SO_FAR}",
    "row_cumsum": f"CAST(sum({{0}}) {_SO_FAR} AS BIGINT)",
    "prev": "lag({0}) OVER ()",
    "translate": "translate({2}, {0}, {1})",
    "ipv4_compare": "ipv4_compare({0}, {1})",
    "ipv6_compare": "ipv6_compare({0}, {1})",
    "hash": "CAST('0x' || substr(md5({0}), 1, 8) AS BIGINT) % {1}",
}
for _name, _template in _ADDED.items():
    SCALAR_FUNCTIONS[_name] = FunctionSpec(_name, "template", _template, (_template.count("{"),))
# strcat() of texts, which plans in half the time of duckdb-kql's general form.
SCALAR_FUNCTIONS["joined"] = FunctionSpec("joined", "template", "concat({})")


class _ListSpec(AggregateSpec):
    """An aggregate whose last argument, if given, is the greatest length of its list."""

    def render(self, args: list[str]) -> str:
        """Return the SQL of a call."""
        values = super().render(args)
        return f"{values}[:{args[-1]}]" if len(args) == max(self.arities) else values


AGGREGATE_FUNCTIONS["make_list"] = _ListSpec(
    "make_list", "coalesce(list({0}) FILTER (WHERE {0} IS NOT NULL), [])", (1, 2)
)
AGGREGATE_FUNCTIONS["make_list_if"] = _ListSpec(
    "make_list_if", "coalesce(list({0}) FILTER (WHERE {1}), [])", (2, 3)
)
AGGREGATE_FUNCTIONS["count_distinct"] = AggregateSpec("count_distinct", "count(DISTINCT {0})", (1,))
AGGREGATE_FUNCTIONS["make_set_if"] = AggregateSpec(
    "make_set_if", "coalesce(list(DISTINCT {0}) FILTER (WHERE {1}), [])", (2, 3)
)

Columns = Mapping[str, Collection[str]]  # the names of the columns by table


def duration(number: str, unit: str) -> int:
    """Return the ticks of a duration as queries write it."""
    return int(number) * {"tick": 1, "s": SECOND, "m": MINUTE, "h": HOUR}[unit]


def bucket_of(identity: str, buckets: int = BUCKETS) -> int:
    """Return the bucket of an identity."""
    return int(hashlib.md5(identity.lower().encode()).hexdigest()[:8], 16) % buckets  # noqa: S324


def connect() -> Any:
    """Open an empty database that has the added functions and keeps rows in their order."""
    connection: Any = duckdb_kql.connect()
    connection.execute("SET threads = 1")
    for compare in (ipv4_compare, ipv6_compare):
        connection.create_function(
            compare.__name__,
            compare,
            ["VARCHAR", "VARCHAR"],
            "INTEGER",
            null_handling="special",
        )
    return connection


def to_sql(text: str, tables: Columns, now: int | None = None) -> str:
    """Translate a query; `now` (ticks) is the present of its now() and ago().

    Raises duckdb_kql.KqlError for a query that is wrong or cannot be translated.
    """
    text = _common(text, tables)
    if now is not None:
        moment = f"datetime({format_time(now)})"
        text = _at(text, moment)
    return _translated(text, _frozen(tables))


def to_sql_in_ticks(text: str, tables: Columns, now: int | None = None) -> str:
    """Translate a query whose tables have times in ticks; `now` is the present of its now().

    Queries that differ only in numbers are translated once. Raises ValueError for a function of
    dates, and duckdb_kql.KqlError.
    """
    text = _common(text, tables)
    if now is not None:
        text = _at(text, f"long({now})")
    text = re.sub(r"datetime\((\d[^)]+)\)", lambda match: f"long({parse_time(match[1])})", text)
    text = re.sub(
        r"\b(\d+)(tick|[smh])\b", lambda found: f"long({duration(*found.groups())})", text
    )
    text = re.sub(r"(?<=[-+] )(\d+)d\b", lambda match: f"long({int(match[1]) * DAY})", text)
    text = re.sub(r"\((\d+) \.\. (\d+)\)", r"(long(\1) .. long(\2))", text)
    text = text.replace("datetime(null)", "long(null)").replace(": datetime", ": long")
    text = text.replace("tolong(", "(").replace("strcat(", "joined(")
    if "datetime" in text:
        raise ValueError("a query with dates cannot run in ticks")
    numbers = re.findall(r"\blong\((\d+)\)", text)
    places = itertools.count(_PLACES)
    text = re.sub(r"\blong\(\d+\)", lambda _: f"long({next(places)})", text)
    sql = _translated(text, _frozen(tables))
    for place, number in enumerate(numbers, _PLACES):
        sql = sql.replace(str(place), number)
    return sql


def _common(text: str, tables: Columns) -> str:
    """Replace the functions that are special to Log Analytics."""
    text = re.sub(r"""_GetWatchlist\(["'](\w+)["']\)""", r"\1", text)
    named = set(re.findall(r"\w+", text))
    known = {name for table in tables.keys() & named for name in tables[table]}
    text = text.replace("ingestion_time()", INGESTED)
    return re.sub(
        r'column_ifexists\(\s*"(\w+)",\s*("[^"\\]*"|\w+\([^()]*\)|[\w.]+)\s*\)',
        lambda match: match[1] if match[1] in known else match[2],
        text,
    )


def _at(text: str, moment: str) -> str:
    """Return a query whose now() and ago() are relative to a moment."""
    return re.sub(r"\bago\(", f"({moment} - ", re.sub(r"\bnow\(\)", moment, text))


def _frozen(tables: Columns) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((table, tuple(columns)) for table, columns in tables.items())


@cache
def _translated(text: str, tables: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return the SQL; a translation takes far longer than a run."""
    schema = {table: list(columns) for table, columns in tables}
    return str(duckdb_kql.to_sql(text, schema=schema))
