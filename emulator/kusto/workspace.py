"""An emulated workspace: tables in DuckDB, and the answers to KQL about them.

Times are compared by the tick in the product's own queries of the logs, which name themselves in
their first line, and by the microsecond in all others, because DuckDB has no finer time.
"""

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb
import duckdb_kql

from detection.kql.render import FOLDER
from detection.rule.ticks import format_time, from_datetime
from emulator.kusto.query_tables import missing_tables
from emulator.kusto.saved_functions import BODIES, without_calls
from emulator.kusto.tables import CUSTOM, LOGS, STORED, WATCHLISTS, Columns, Row, columns_of, stored
from emulator.kusto.translation import INGESTED, connect, to_sql, to_sql_in_ticks

# Columns with a time, in answers to queries that run in ticks: DuckDB has only numbers there.
TIMES: Final = {
    *("TimeGenerated", "IngestionTime", "Now", "Latest", "Earliest"),
    *("FirstEvent", "LastEvent"),
}
_BEGINNINGS: Final = {
    path.read_text("utf-8").partition("\n")[0]
    for path in FOLDER.glob("*.kql")
    if not path.name.startswith("investigate")
}
_TYPES: Final = {
    "BOOLEAN": "bool",
    "DOUBLE": "real",
    "HUGEINT": "long",
    "BIGINT": "long",
    "INTEGER": "int",
    "INTERVAL": "timespan",
    "JSON": "dynamic",
    "TIMESTAMP": "datetime",
    "VARCHAR": "string",
}


class QueryRefused(Exception):
    """A query is wrong, or cannot be run here; the message says why.

    `missing` names a table or function that the workspace does not have.
    """

    def __init__(self, message: str, missing: str = "") -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True)
class Answer:
    """The result of a query: names and types of its columns, rows, and the tables left out."""

    columns: list[tuple[str, str]]
    rows: list[list[Any]]
    left_out: tuple[str, ...] = ()


class Workspace:
    """Tables of rows, to which rows can be added while they are queried."""

    def __init__(self, tables: Mapping[str, Sequence[Row]]) -> None:
        """Start with these tables, and both custom tables; any other table is missing."""
        self._database = connect()
        self._database.execute("CREATE SCHEMA kept; CREATE SCHEMA ticks; CREATE SCHEMA times")
        self._columns: dict[str, Columns] = {}
        self._empty: set[str] = set()  # missing logs that have an empty table
        self._lock = threading.Lock()
        empty: dict[str, Sequence[Row]] = {name: [] for name in CUSTOM}
        for name, rows in (empty | dict(tables)).items():
            self._create(name, columns_of(name, rows))
            self.add(name, rows)

    def add(self, table: str, rows: Iterable[Row], arrived: int | None = None) -> None:
        """Add rows, values of JSON by column, that arrive at a time (ticks).

        Without `arrived`, a row arrives at its IngestionTime; one without was always there.
        """
        kinds = self._columns[table]
        values = [
            [
                *(stored(kind, row.get(name)) for name, kind in kinds.items()),
                stored("datetime", row.get("IngestionTime")) if arrived is None else arrived,
            ]
            for row in rows
        ]
        if not values:
            return
        places = ", ".join(["unnest(?)"] * (len(kinds) + 1))
        with self._lock:
            self._database.execute(
                f'INSERT INTO kept."{table}" SELECT {places}',
                [list(column) for column in zip(*values, strict=True)],
            )

    def ask(self, text: str, now: int) -> Answer:
        """Return the answer to a query at a time (ticks); raises QueryRefused."""
        self._find_watchlists(text)
        missing = missing_tables(text, {*self._columns, *BODIES})
        if missing and "isfuzzy" not in text:
            raise QueryRefused(f"no table is named {missing[0]}", missing[0])
        self._stand_in_for(missing)
        query = _Query(text.partition("\n")[0] in _BEGINNINGS, now, self._names())
        with self._database.cursor() as cursor:
            cursor.execute(f"SET search_path = '{'ticks' if query.in_ticks else 'times'}'")
            cursor.execute(f"SET VARIABLE present = {now}::BIGINT")
            try:
                sql = query.translate(text, cursor)
                cursor.execute(sql)
                described = [(each[0], str(each[1])) for each in cursor.description]
                rows = cursor.fetchall()
            except (duckdb_kql.KqlError, duckdb.Error, ValueError) as error:
                raise _refusal(error) from error
        shown = [at for at, (name, _) in enumerate(described) if name != INGESTED]
        columns = [_column(*described[at], in_ticks=query.in_ticks) for at in shown]
        cells = [[_shown(columns[n][1], row[at]) for n, at in enumerate(shown)] for row in rows]
        return Answer(columns, cells, tuple(missing))

    def _names(self) -> dict[str, list[str]]:
        known = self._columns | {name: LOGS[name] for name in self._empty}
        return {table: [*columns, INGESTED] for table, columns in known.items()}

    def _stand_in_for(self, missing: Iterable[str]) -> None:
        """Make empty tables for missing logs, whose columns are known.

        A fuzzy union leaves out the operands that read a missing table, even through a `let`.
        duckdb-kql leaves out only those that name the table themselves.
        """
        for name in missing:
            if name in LOGS and name not in self._empty:
                self._make(name, LOGS[name])
                self._empty.add(name)

    def _find_watchlists(self, text: str) -> None:
        """Make an empty table of each unknown watchlist, if the workspace has any at all.

        Without Microsoft Sentinel there are no watchlists, and the function is unknown.
        """
        for alias in re.findall(r"""_GetWatchlist\(["'](\w+)["']\)""", text):
            if not any(name in self._columns for name in WATCHLISTS):
                raise QueryRefused("Unknown function: '_GetWatchlist'.", "_GetWatchlist")
            if alias not in self._columns:
                self._create(
                    alias,
                    {name: kind for each in WATCHLISTS.values() for name, kind in each.items()},
                )

    def _create(self, table: str, columns: Columns) -> None:
        self._columns[table] = columns
        self._make(table, columns)

    def _make(self, table: str, columns: Columns) -> None:
        """Make a table, and its views of the rows that have arrived, in ticks and in times."""
        listed = [f'"{name}" {STORED[kind]}' for name, kind in columns.items()]
        with_times = [_in_times(name, kind) for name, kind in columns.items()]
        there = f'"{INGESTED}" IS NULL OR "{INGESTED}" <= getvariable(\'present\')'
        with self._lock:
            self._database.execute(
                f"""
                CREATE TABLE kept."{table}" ({", ".join(listed)}, "{INGESTED}" BIGINT);
                CREATE VIEW ticks."{table}" AS SELECT * FROM kept."{table}" WHERE {there};
                CREATE VIEW times."{table}" AS SELECT {", ".join(with_times)},
                    {_moment(INGESTED)} FROM kept."{table}" WHERE {there};
                """  # noqa: S608 (names of tables and columns)
            )


@dataclass
class _Query:
    """A query while it is translated; its calls of saved functions become views."""

    in_ticks: bool
    now: int
    names: dict[str, list[str]]

    def translate(self, text: str, cursor: Any) -> str:
        """Return the SQL, after making the views that it needs."""

        def view(name: str, body: str) -> None:
            cursor.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {self._sql(body)}')
            described = cursor.execute(f'SELECT * FROM "{name}" LIMIT 0').description  # noqa: S608
            self.names[name] = [each[0] for each in described]

        return self._sql(without_calls(text, view))

    def _sql(self, text: str) -> str:
        return (to_sql_in_ticks if self.in_ticks else to_sql)(text, self.names, self.now)


def _in_times(name: str, kind: str) -> str:
    """Return a column as the SQL that queries in times see."""
    if kind == "datetime":
        return _moment(name)
    return f'CAST(nullif("{name}", \'\') AS JSON) AS "{name}"' if kind == "dynamic" else f'"{name}"'


def _moment(name: str) -> str:
    return f'make_timestamp("{name}" // 10) AS "{name}"'


def _column(name: str, kind: str, *, in_ticks: bool) -> tuple[str, str]:
    """Return name and type of a column as Log Analytics names types."""
    if in_ticks and name in TIMES:
        return name, "datetime"
    return name, "dynamic" if kind.endswith("]") else _TYPES.get(kind, "string")


def _shown(kind: str, value: Any) -> Any:
    """Return a value as the API writes it: times in ISO 8601, dynamic values as JSON text."""
    match value:
        case None:
            return "" if kind == "string" else None
        case datetime():
            return format_time(from_datetime(value.replace(tzinfo=UTC)))
        case timedelta():
            return _timespan(value)
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)
    return format_time(value) if kind == "datetime" else value


def _timespan(value: timedelta) -> str:
    """Return a timespan as Kusto writes it."""
    sign = "-" if value < timedelta() else ""
    value = abs(value)
    minutes, seconds = divmod(value.seconds, 60)
    days = f"{value.days}." if value.days else ""
    fraction = f".{value.microseconds:06}0" if value.microseconds else ""
    return f"{sign}{days}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


def _refusal(error: Exception) -> QueryRefused:
    """Return the refusal of a query that DuckDB or the translation does not accept."""
    patterns = (
        r"schema error for '(\w+)' \(unknown table",
        r"Table with name (\w+) does not exist",
    )
    for pattern in patterns:
        if found := re.search(pattern, str(error)):
            return QueryRefused(str(error), found[1])
    if isinstance(error, duckdb_kql.KqlUnsupportedError):
        return QueryRefused(f"this emulator cannot run what Log Analytics may: {error}")
    return QueryRefused(str(error))
