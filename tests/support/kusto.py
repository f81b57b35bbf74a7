"""The product's queries, run unchanged in DuckDB on tables whose times are in ticks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from detection.rule.correlate import Group
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, Logs
from detection.rule.ticks import format_time, parse_time
from detection.schema import FINDINGS_TABLE, Finding, columns
from detection.sources.decode.response import decode_table
from detection.sources.decode.table import kql_tostring
from detection.sources.identity_columns import OPERATION_COLUMNS, SIGN_IN_COLUMNS
from detection.sources.log_analytics.client import Answer, summary_shape
from detection.sources.workspace import kusto_correlation, kusto_pairs
from detection.sources.workspace.queries import WindowQueries
from emulator.kusto.translation import INGESTED, connect, to_sql_in_ticks
from tests.support import response
from tests.support.language_service import KQL

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


def database(tables: Mapping[str, Mapping[str, str]] = TABLES) -> Any:
    """Return a database with these tables, empty, that keeps rows in their order."""
    connection = connect()
    for table, kinds in tables.items():
        listed = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
        connection.execute(f"CREATE TABLE {table} ({listed})")
    return connection


def to_sql(text: str, tables: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Translate a query of these tables, or of those of this module."""
    return to_sql_in_ticks(
        text, TABLES | DETAILED | SERVICES | FINDINGS if tables is None else tables
    )


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
