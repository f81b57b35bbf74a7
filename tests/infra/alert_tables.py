"""Both custom tables in DuckDB with times of arrival, and the alert queries as they are deployed.

`ingestion_time()`, which duckdb-kql lacks, becomes a column, and `ago()` becomes a fixed time, so a
rule can run repeatedly. The rest of each query is unchanged.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import duckdb_kql

from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from emulator.kusto.translation import connect
from tests.infra.compiler import INFRA

RUNS_TABLE: Final = "ManagedIdentityImpactRuns_CL"
DEPLOYMENT: Final = "ours"
WATCHED: Final = {"law-security": "w1", "law-platform": "w2"}  # workspaces: ids by name
SEVERITIES: Final = ("High", "Medium", "Low", "Informational")  # as in alerts.bicep
TABLES: Final = {
    table: [*columns(row), ("Ingested", "datetime")]
    for table, row in ((FINDINGS_TABLE, Finding), (RUNS_TABLE, RunRecord))
}
SOME_TIME: Final = "2001-02-03T04:05:06"  # stands for the time of the query
NOW: Final = datetime(2026, 3, 14, 10, tzinfo=UTC).replace(tzinfo=None)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KINDS: Final = {
    "string": "VARCHAR",
    "datetime": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "long": "BIGINT",
    "int": "BIGINT",
    "dynamic": "JSON",
}


def connection() -> Any:
    """Return a new database with both tables, empty."""
    opened = connect()
    for table, kinds in TABLES.items():
        listed = ", ".join(f'"{name}" {KINDS[kind]}' for name, kind in kinds)
        opened.execute(f"CREATE TABLE {table} ({listed})")
    return opened


def put(database: Any, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # noqa: S608


def ask(
    database: Any, text: str, now: datetime = NOW, period: timedelta | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a query at a time, of the tables' rows from a period before it."""
    if period is not None:
        hours = int(period / HOUR)
        text = re.sub(
            r"^\w+_CL\n", rf"\g<0>| where TimeGenerated > ago({hours}h)\n", text, flags=re.MULTILINE
        )
    found = database.execute(_translated(text).replace(SOME_TIME, now.isoformat()))
    names = [described[0] for described in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@cache
def _translated(text: str) -> str:
    """Return a query in DuckDB's SQL; the translation takes far longer than a run."""
    text = text.replace("ingestion_time()", "Ingested")
    text = re.sub(r"\bago\((\w+)\)", rf"(datetime({SOME_TIME}) - \1)", text)
    schema = {table: [name for name, _ in listed] for table, listed in TABLES.items()}
    return str(duckdb_kql.to_sql(text, schema=schema))


def deployed(name: str, severity: str = "High") -> str:
    """Return an alert query as alerts.bicep deploys it."""
    graver = SEVERITIES[: SEVERITIES.index(severity) + 1]
    values = {
        "deployment": DEPLOYMENT,
        "severity": severity,
        "severities": '", "'.join(graver),
        "workspaces": '", "'.join(part for each in WATCHED.items() for part in each),
    }
    text = (INFRA / "queries" / f"{name}.kql").read_text("utf-8")
    for placeholder, value in values.items():
        text = text.replace(f"{{{placeholder}}}", value)
    return text
