"""The alert queries run in DuckDB: what they tell of, and what they keep quiet about.

`ingestion_time()` becomes a column, which duckdb-kql lacks; the rest is as it is deployed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb_kql
import pytest

from tests.infra.compiler import INFRA

WATCHED = ("w1", "w2")


@pytest.fixture
def database() -> Any:
    """Return a database with what the alerts look at of both tables, empty."""
    connection = duckdb_kql.connect()
    connection.execute(
        "CREATE TABLE ManagedIdentityImpact_CL (FindingId VARCHAR, Revision INTEGER, "
        "ServicePrincipalName VARCHAR, ServicePrincipalId VARCHAR, ResourceGroup VARCHAR, "
        "TimeGenerated TIMESTAMP, Ingested TIMESTAMP)"
    )
    connection.execute(
        "CREATE TABLE ManagedIdentityImpactRuns_CL (WorkspaceId VARCHAR, Status VARCHAR)"
    )
    return connection


def findings(database: Any, *rows: tuple[str, int, str, int]) -> list[tuple[Any, ...]]:
    """Return what is told of rows (finding, revision, group, minutes since it arrived).

    Every row is of a run five hours ago, however late it arrived.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    for name, revision, group, minutes in rows:
        arrived, ran = now - timedelta(minutes=minutes), now - timedelta(hours=5)
        database.execute(
            "INSERT INTO ManagedIdentityImpact_CL VALUES (?, ?, 'app', 'id', ?, ?, ?)",
            [name, revision, group, ran, arrived],
        )
    text = (INFRA / "queries" / "findings_alert.kql").read_text("utf-8")
    found = duckdb_kql.kql(database, text.replace("ingestion_time()", "Ingested"))
    assert found.columns[0] == "TimeGenerated"
    return sorted(row[1:] for row in found.fetchall())


def examined(database: Any, runs: Sequence[tuple[str, str]]) -> int:
    """Return how many rows the alert on silence counts of runs (workspace, status)."""
    for run in runs:
        database.execute("INSERT INTO ManagedIdentityImpactRuns_CL VALUES (?, ?)", run)
    text = (INFRA / "queries" / "silence_alert.kql").read_text("utf-8")
    text = text.replace("{workspaceIds}", '", "'.join(WATCHED))  # as alerts.bicep does
    return len(duckdb_kql.kql(database, text).fetchall())


def test_late_arrivals_are_told_of(database: Any) -> None:
    """A row that has just arrived is told of, although its run is hours ago; an old one is not."""
    told = findings(database, ("new", 1, "rg", 5), ("old", 1, "rg", 45))
    assert told == [("new", "1", "app id", "rg")]


def test_every_revision_is_told_of_once(database: Any) -> None:
    """A further revision is told of by itself, a row that was delivered again is not."""
    told = findings(database, ("f", 1, "rg", 200), ("f", 1, "rg", 3), ("f", 2, "rg", 3))
    assert told == [("f", "2", "app id", "rg")]


def test_operations_on_a_subscription_are_told_of(database: Any) -> None:
    """A finding without a resource group has something in every dimension."""
    assert findings(database, ("f", 1, "", 3)) == [("f", "1", "app id", "none")]


@pytest.mark.parametrize(
    ("runs", "count"),
    [
        ([], 0),
        ([("w1", "Success"), ("w2", "Warning")], 2),
        ([("w1", "Success"), ("w1", "Success"), ("w1", "Success")], 1),
        ([("w1", "Success"), ("w2", "Failure"), ("w2", "Failure")], 1),
        ([("w1", "Success"), ("elsewhere", "Success")], 1),
    ],
    ids=["no rows", "all well", "one silent", "one failing", "another deployment's"],
)
def test_silence_is_noticed(database: Any, runs: list[tuple[str, str]], count: int) -> None:
    """Fewer workspaces are counted than are watched as soon as one was not examined."""
    assert examined(database, runs) == count
