"""The product's queries, run in DuckDB: duckdb-kql translates KQL as Kusto was measured to behave.

This module adds what duckdb-kql lacks, so that tests run each query's text unchanged:

- seven more functions: three window functions that read rows in their order, `translate`, `hash`
  (any spread over the buckets works, so it is one that bucket_of() can repeat), `make_list_if` and
  `make_set_if`; and `make_list` keeps its limit;
- `ingestion_time()` becomes a column of that name, `column_ifexists("X", "")` becomes X, as every
  column exists;
- times and days become whole ticks, in literals and in tables, because DuckDB compares times by
  the microsecond, which is ten ticks;
- `tolong()` is removed, as its argument is in ticks, and `strcat()` becomes DuckDB's own: the
  general form that duckdb-kql writes takes twice as long to plan.

It ignores case beyond ASCII within `has` and `=~`, so a long s is an S there.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb_kql
from duckdb_kql.translate.functions import (
    AGGREGATE_FUNCTIONS,
    SCALAR_FUNCTIONS,
    AggregateSpec,
    FunctionSpec,
)

from detection.kql.constants import BUCKETS
from detection.rule.correlate import Group
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, Logs
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from detection.schema import FINDINGS_TABLE, Finding, columns
from detection.sources.decode.response import decode_table
from detection.sources.decode.table import kql_tostring
from detection.sources.identity_columns import OPERATION_COLUMNS, SIGN_IN_COLUMNS
from detection.sources.log_analytics.client import Answer, summary_shape
from detection.sources.workspace import kusto_correlation, kusto_pairs
from detection.sources.workspace.queries import WindowQueries
from tests.support import response
from tests.support.addresses import ipv4_compare, ipv6_compare
from tests.support.language_service import KQL

INGESTED = "IngestionTimeOfRow"
PLACES = 8_000_000_000_000_000_000  # this number and those after it stand for a query's own numbers
SO_FAR = "OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
ADDED = {
    "row_number": f"row_number() {SO_FAR}",
    "row_cumsum": f"CAST(sum({{0}}) {SO_FAR} AS BIGINT)",
    "prev": "lag({0}) OVER ()",
    "translate": "translate({2}, {0}, {1})",
    "ipv4_compare": "ipv4_compare({0}, {1})",
    "ipv6_compare": "ipv6_compare({0}, {1})",
    "hash": "CAST('0x' || substr(md5({0}), 1, 8) AS BIGINT) % {1}",
}
TABLES: dict[str, dict[str, str]] = {
    shape.name: {
        shape.columns[0]: "BIGINT",
        **dict.fromkeys(shape.columns[1:], "VARCHAR"),
        INGESTED: "BIGINT",
    }
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE)
}
# The log tables with the optional columns that tell more of an identity.
DETAILED: dict[str, dict[str, str]] = {
    shape.name: TABLES[shape.name] | dict.fromkeys(columns.columns[1:], "VARCHAR")
    for shape, columns in ((SIGN_IN_TABLE, SIGN_IN_COLUMNS), (OPERATION_TABLE, OPERATION_COLUMNS))
}
TABLES[ALLOWLIST_TABLE.name] = {
    "_DTItemId": "VARCHAR",
    "LastUpdatedTimeUTC": "BIGINT",
    "IPOrRange": "VARCHAR",
}
TABLES[EXCLUSIONS_TABLE.name] = {
    "_DTItemId": "VARCHAR",
    "LastUpdatedTimeUTC": "BIGINT",
    **dict.fromkeys(EXCLUSIONS_TABLE.columns, "VARCHAR"),
}
# The logs of other services that the runbook's queries read.
KINDS = {"datetime": "BIGINT", "string": "VARCHAR", "dynamic": "VARCHAR"}
SERVICES: dict[str, dict[str, str]] = {
    table: {column["name"]: KINDS[column["type"]] for column in columns}
    for table, columns in json.loads((KQL / "services.json").read_text("utf-8")).items()
}
FINDINGS = {
    FINDINGS_TABLE: {
        name: {"datetime": "BIGINT", "long": "BIGINT", "int": "BIGINT"}.get(kind, "VARCHAR")
        for name, kind in columns(Finding)
    }
}

for name, template in ADDED.items():
    SCALAR_FUNCTIONS[name] = FunctionSpec(name, "template", template, (template.count("{") or 0,))
SCALAR_FUNCTIONS["joined"] = FunctionSpec("joined", "template", "concat({})")


class ListSpec(AggregateSpec):
    """An aggregate whose last argument, if given, is the greatest length of its list."""

    def render(self, args: list[str]) -> str:
        """Return the SQL of a call."""
        values = super().render(args)
        return f"{values}[:{args[-1]}]" if len(args) == max(self.arities) else values


AGGREGATE_FUNCTIONS["make_list"] = ListSpec(
    "make_list", "coalesce(list({0}) FILTER (WHERE {0} IS NOT NULL), [])", (1, 2)
)
AGGREGATE_FUNCTIONS["make_list_if"] = ListSpec(
    "make_list_if", "coalesce(list({0}) FILTER (WHERE {1}), [])", (2, 3)
)
AGGREGATE_FUNCTIONS["count_distinct"] = AggregateSpec("count_distinct", "count(DISTINCT {0})", (1,))
AGGREGATE_FUNCTIONS["make_set_if"] = AggregateSpec(
    "make_set_if", "coalesce(list(DISTINCT {0}) FILTER (WHERE {1}), [])", (2, 3)
)


def duration(number: str, unit: str) -> int:
    """Return the ticks of a length of time as queries write it."""
    return int(number) * {"tick": 1, "s": SECOND, "m": MINUTE, "h": HOUR}[unit]


def bucket_of(identity: str, buckets: int = BUCKETS) -> int:
    """Return the bucket of an identity."""
    return int(hashlib.md5(identity.lower().encode()).hexdigest()[:8], 16) % buckets  # noqa: S324


def connect() -> Any:
    """Open an empty database that has the added functions."""
    connection: Any = duckdb_kql.connect()
    for compare in (ipv4_compare, ipv6_compare):
        connection.create_function(
            compare.__name__,
            compare,
            ["VARCHAR", "VARCHAR"],
            "INTEGER",
            null_handling="special",
        )
    return connection


def database(tables: Mapping[str, Mapping[str, str]] = TABLES) -> Any:
    """Return a database with these tables, empty, that keeps rows in their order."""
    connection = connect()
    connection.execute("SET threads = 1")
    for table, kinds in tables.items():
        listed = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
        connection.execute(f"CREATE TABLE {table} ({listed})")
    return connection


def to_sql(text: str, tables: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Translate a query of these tables; those that differ only in numbers are translated once."""
    known = TABLES | DETAILED | SERVICES | FINDINGS if tables is None else tables
    names = tuple((table, tuple(columns)) for table, columns in known.items())
    text = text.replace("ingestion_time()", INGESTED)
    text = re.sub(r'column_ifexists\(\s*"(\w+)", (""|\w+\(null\))\)', r"\1", text)
    text = re.sub(r"datetime\((\d[^)]+)\)", lambda match: f"long({parse_time(match[1])})", text)
    text = re.sub(
        r"\b(\d+)(tick|[smh])\b", lambda found: f"long({duration(*found.groups())})", text
    )
    text = re.sub(r"(?<=[-+] )(\d+)d\b", lambda match: f"long({int(match[1]) * DAY})", text)
    text = re.sub(r"\((\d+) \.\. (\d+)\)", r"(long(\1) .. long(\2))", text)
    text = re.sub(r'_GetWatchlist\("(\w+)"\)', r"\1", text)
    text = text.replace("datetime(null)", "long(null)").replace(": datetime", ": long")
    text = text.replace("tolong(", "(").replace("strcat(", "joined(")
    assert "datetime" not in text
    numbers = re.findall(r"\blong\((\d+)\)", text)
    places = itertools.count(PLACES)
    sql = _translated(re.sub(r"\blong\(\d+\)", lambda _: f"long({next(places)})", text), names)
    for place, number in enumerate(numbers, PLACES):
        sql = sql.replace(str(place), number)
    return sql


@cache
def _translated(text: str, tables: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    schema = {table: list(columns) for table, columns in tables}
    return str(duckdb_kql.to_sql(text, schema=schema))


def fill(connection: Any, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Replace the rows of a table."""
    connection.execute(f"DELETE FROM {table}")  # noqa: S608 (a table of this module)
    if rows:
        columns = list(map(list, zip(*rows, strict=True)))
        places = ", ".join(["unnest(?)"] * len(columns))
        connection.execute(f"INSERT INTO {table} SELECT {places}", columns)


def fill_detailed(connection: Any, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the rows of one of the DETAILED tables, given as objects; a cell may be an object."""
    time, *names = DETAILED[table]
    names.remove(INGESTED)
    filled = []
    for row in rows:
        arrival = row.get("IngestionTime")
        cells: dict[str, Any] = {name: kql_tostring(row.get(name)) for name in names}
        cells |= {time: parse_time(row[time]), INGESTED: parse_time(arrival) if arrival else None}
        filled.append([cells[name] for name in DETAILED[table]])
    fill(connection, table, filled)


def ask(
    connection: Any, text: str, tables: Mapping[str, Mapping[str, str]] | None = None
) -> list[Mapping[str, Any]]:
    """Return the rows of a query, by column; `tables` are the database's, if it has others."""
    found = connection.execute(to_sql(text, tables))
    names = [described[0] for described in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def as_response(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the cluster's rows as an API response, with lists as JSON text."""
    columns = (
        list(rows[0])
        if rows
        else sorted({*kusto_correlation.GROUP_COLUMNS, *kusto_pairs.PAIR_COLUMNS})
    )
    return response(columns, [[_cell(name, row[name]) for name in columns] for row in rows])


def groups_in_cluster(
    connection: Any,
    logs: Logs,
    queries: WindowQueries,
    buckets: range,
    excluded: tuple[str, ...] = (),
) -> list[Group]:
    """Return the groups that the cluster's queries find in these logs, decoded as answers are."""
    for shape, rows in ((SIGN_IN_TABLE, logs.sign_ins), (OPERATION_TABLE, logs.operations)):
        fill(connection, shape.name, [[*row, None] for row in rows])

    def answer(text: str, columns: tuple[str, ...]) -> Answer:
        body = json.dumps(as_response(ask(connection, text))).encode()
        table = decode_table(body, summary_shape(SIGN_IN_TABLE, *columns), "the cluster")
        return Answer(table, len(body))

    def pair_rows(some: range, reported: tuple[str, ...]) -> list[Any]:
        text = queries.pairs(some, excluded, reported)
        return answer(text, kusto_pairs.PAIR_COLUMNS).table.rows

    pairs_of = kusto_pairs.ClusterPairs(pair_rows, buckets, {}).read_group
    found = kusto_correlation.split_counts(
        answer(queries.correlate(buckets, excluded), kusto_correlation.GROUP_COLUMNS)
    )
    return kusto_correlation.groups_of(found.rows, pairs_of)


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return format_time(value) if name.endswith("Event") and value is not None else value
