"""The runbook's three queries, run in DuckDB, show the finding's identity alone."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from detection.kql.render import queries
from detection.pipeline.finding_context import QUESTIONS
from detection.rule.ticks import HOUR, parse_time
from detection.schema import FINDINGS_TABLE
from tests.support import OPERATIONS, SIGN_INS, kusto

TEN = parse_time("2026-03-14T10:00:00Z")
OURS = "e1525895-2305-453d-b6ab-6a524251f7d9"
OTHER = "0e29b7b8-6f3b-4a0c-9d4b-2f3c1d5e6a70"
LONG_CLAIM = "http://schemas.microsoft.com/identity/claims/objectidentifier"

# The column of each table that holds the identity, and other conditions of its part of the query.
OWNER: dict[str, Mapping[str, str]] = {
    SIGN_INS: {"ServicePrincipalId": "{}"},
    OPERATIONS: {"Caller": "{}"},
    "AZKVAuditLogs": {"Identity": json.dumps({"claim": {LONG_CLAIM: "<>", "appid": "a"}})},
    "AzureDiagnostics": {"ResourceProvider": "MICROSOFT.KEYVAULT", "identity_claim_oid_g": "{}"},
    "StorageBlobLogs": {"RequesterObjectId": "{}"},
    "StorageFileLogs": {"RequesterObjectId": "{}"},
    "StorageQueueLogs": {"RequesterObjectId": "{}"},
    "StorageTableLogs": {"RequesterObjectId": "{}"},
    FINDINGS_TABLE: {"ServicePrincipalId": "{}"},
}
# The tables that each query reads, and the column that shows which table a row is from.
LOOKS_INTO = {
    "investigate_activity": ([SIGN_INS, OPERATIONS], "CorrelationId"),
    "investigate_data_plane": (list(OWNER)[2:8], "OperationName"),
    "investigate_findings": ([FINDINGS_TABLE], "FindingId"),
}
TABLES = kusto.TABLES | kusto.SERVICES | kusto.FINDINGS


@pytest.fixture
def database() -> Iterator[Any]:
    """Give a database in which both identities have a row in every table."""
    connection = kusto.database(TABLES)
    for table, owner in OWNER.items():
        for identity in (OURS, OTHER, ""):
            values = {
                name: text.replace("{}", identity).replace("<>", identity)
                for name, text in owner.items()
            }
            mark = f"{table} of {identity}"
            marks = {"CorrelationId": mark, "OperationName": mark, "FindingId": mark}
            row = {"TimeGenerated": TEN, "LastEvent": TEN, "Revision": 1} | marks | values
            columns = [name for name in row if name in TABLES[table]]
            places = ", ".join("?" * len(columns))
            listed = ", ".join(f'"{name}"' for name in columns)
            connection.execute(
                f"INSERT INTO {table} ({listed}) VALUES ({places})",  # noqa: S608 (names from above)
                [row[name] for name in columns],
            )
    yield connection
    connection.close()


def runbook_query(name: str, identity: str = OURS) -> str:
    """Return a query of the runbook for a finding of an identity."""
    [text] = queries([name], identity=(identity,), start=TEN - HOUR, end=TEN)
    return text


def test_every_runbook_query_is_tested() -> None:
    """These tests cover every query of the runbook."""
    assert set(LOOKS_INTO) == set(QUESTIONS.values())


@pytest.mark.parametrize("identity", [OURS, OURS.upper()])
@pytest.mark.parametrize("name", LOOKS_INTO)
def test_a_query_shows_one_identity(database: Any, name: str, identity: str) -> None:
    """A query returns the identity's rows of each table, in any case, and no other rows."""
    tables, column = LOOKS_INTO[name]
    found = [row[column] for row in kusto.ask(database, runbook_query(name, identity))]
    assert sorted(found) == sorted(f"{table} of {OURS}" for table in tables)


def test_rows_of_other_days_are_left_out(database: Any) -> None:
    """Data-plane logs more than a day from the finding are not shown."""
    for table in LOOKS_INTO["investigate_data_plane"][0]:
        database.execute(f'UPDATE {table} SET "TimeGenerated" = {TEN + 25 * HOUR}')  # noqa: S608
    assert kusto.ask(database, runbook_query("investigate_data_plane")) == []
