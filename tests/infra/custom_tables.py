"""Both custom tables in DuckDB, and queries on them and on ManagedIdentityImpact()."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import duckdb_kql

from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from tests.infra.alert_tables import RUNS_TABLE
from tests.infra.test_kql import FUNCTION

LATEST: Final = "LatestFindings"  # holds the rows of ManagedIdentityImpact()
TYPES: Final = {
    "boolean": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
    "int": "INTEGER",
    "long": "BIGINT",
    "string": "VARCHAR",
}
TABLES: Final = {FINDINGS_TABLE: dict(columns(Finding)), RUNS_TABLE: dict(columns(RunRecord))}

Row = Mapping[str, Any]
Schema = tuple[tuple[str, tuple[str, ...]], ...]


class CustomTables:
    """A workspace that has the given tables, with their columns and types."""

    def __init__(self, tables: Mapping[str, Mapping[str, str]] = TABLES) -> None:
        self._database: Any = duckdb_kql.connect()
        self._tables = tables
        self._schema: Schema = tuple((name, tuple(kinds)) for name, kinds in tables.items())
        if FINDINGS_TABLE in tables:
            self._schema += ((LATEST, tuple(tables[FINDINGS_TABLE])),)
        for table, kinds in tables.items():
            listed = ", ".join(f'"{name}" {TYPES[kind]}' for name, kind in kinds.items())
            self._database.execute(f"CREATE TABLE {table} ({listed})")
        self.fill()

    def fill(self, findings: Sequence[Row] = (), runs: Sequence[Row] = ()) -> None:
        """Replace the rows of the tables; a column that a row lacks is null."""
        for table, rows in ((FINDINGS_TABLE, findings), (RUNS_TABLE, runs)):
            if table in self._tables:
                self._insert(table, rows)
        if FINDINGS_TABLE in self._tables:
            sql = translated(FUNCTION, self._schema)
            self._database.execute(f"CREATE OR REPLACE TABLE {LATEST} AS {sql}")

    def ask(self, text: str) -> list[dict[str, Any]]:
        """Return the rows of a query by column, with dynamic values parsed."""
        text = text.replace("ManagedIdentityImpact()", LATEST)
        result = self._database.execute(translated(text, self._schema))
        names = [described[0] for described in result.description]
        kinds = [str(described[1]) for described in result.description]
        return [
            {
                name: json.loads(value) if kind == "JSON" and value is not None else value
                for name, kind, value in zip(names, kinds, row, strict=True)
            }
            for row in result.fetchall()
        ]

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        self._database.execute(f"DELETE FROM {table}")  # noqa: S608 (a table of this module)
        kinds = self._tables[table]
        places = ", ".join("?" * len(kinds))
        for row in rows:
            values = [
                json.dumps(row[name]) if kind == "dynamic" and name in row else row.get(name)
                for name, kind in kinds.items()
            ]
            self._database.execute(f"INSERT INTO {table} VALUES ({places})", values)  # noqa: S608 (question marks)


@cache
def translated(text: str, schema: Schema) -> str:
    """Return a query in DuckDB's SQL; the translation takes longer than a run."""
    return str(duckdb_kql.to_sql(text, schema={name: list(names) for name, names in schema}))
