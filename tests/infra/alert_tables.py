"""Both custom tables in DuckDB with times of arrival, and the alert queries as they are deployed.

`ingestion_time()`, which duckdb-kql lacks, becomes a column, and `ago()` becomes a fixed time, so a
rule can run repeatedly. The rest of each query is unchanged.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb_kql

from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from tests.infra.compiler import INFRA
from tests.support import kusto

RUNS_TABLE: Final = "ManagedIdentityImpactRuns_CL"
DEPLOYMENT: Final = "ours"
WATCHED: Final = {"law-security": "w1", "law-platform": "w2"}  # workspaces: ids by name
SEVERITIES: Final = ("High", "Medium", "Low", "Informational")  # as in alerts.bicep
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
    opened = kusto.connect()
    for table, row in ((FINDINGS_TABLE, Finding), (RUNS_TABLE, RunRecord)):
        listed = ", ".join(f'"{name}" {KINDS[kind]}' for name, kind in columns(row))
        opened.execute(f"CREATE TABLE {table} ({listed}, Ingested TIMESTAMP)")
    return opened


def put(database: Any, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # noqa: S608


def ask(
    database: Any, text: str, now: datetime = NOW, period: timedelta | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a query at a time, of the tables' rows from a period before it."""
    text = text.replace("ingestion_time()", "Ingested")
    text = re.sub(r"\bago\((\w+)\)", rf"(datetime({now.isoformat()}) - \1)", text)
    if period is not None:
        since = f"| where TimeGenerated > datetime({(now - period).isoformat()})"
        text = re.sub(r"^\w+_CL\n", rf"\g<0>{since}\n", text, flags=re.MULTILINE)
    found = duckdb_kql.kql(database, text)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


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
