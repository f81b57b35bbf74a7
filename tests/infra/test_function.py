"""ManagedIdentityImpact(), run in DuckDB as deployed, agrees with a plain reading in Python.

Each generated table has findings with several revisions, rows that were delivered repeatedly, one
of them with another time, and sets whose values differ in case between revisions.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb_kql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.report import findings
from detection.schema import Finding, columns
from tests.infra.custom_tables import TYPES
from tests.infra.test_kql import FUNCTION

Row = dict[str, Any]

COLUMNS = dict(columns(Finding))
SETS = ("Resources", "Operations", "AffectedResources", "SubscriptionIds", "CallerIpAddresses")
GRAVEST = (
    *("RiskScore", "RiskReasons", "SuggestedSeverity", "Evidence"),
    *("ObservedTactics", "ObservedTechniques"),
)
BEGIN = datetime(2026, 3, 14, tzinfo=UTC).replace(tzinfo=None)
MOMENTS = st.integers(0, 1000).map(lambda n: BEGIN + timedelta(microseconds=n))
# A row's sets have no repeats; other rows may spell the same value in another case.
VALUES = st.lists(
    st.sampled_from(["/a/x", "/A/x", "/b", "/B", "c d", 'q"\\', "é", "10.0.0.1", "2001:DB8::1"]),
    unique_by=str.lower,
    max_size=5,
)
PLAIN = {
    "boolean": st.booleans(),
    "datetime": MOMENTS,
    "dynamic": st.lists(st.sampled_from("ab"), max_size=2),
    "int": st.integers(1, 9),
    "long": st.integers(0, 9),
    "string": st.sampled_from(["", "a", "B"]),
}


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Draw the rows of the table, in any order."""
    rows: list[Row] = []
    for finding in range(draw(st.integers(0, 4))):
        # The first revisions may lie before the queried time.
        first, count = draw(st.integers(1, 12)), draw(st.integers(1, 4))
        for revision in range(first, first + count):
            row: Row = {name: draw(PLAIN[kind]) for name, kind in COLUMNS.items()}
            row |= {name: draw(VALUES) for name in SETS}
            row |= {"FindingId": f"f{finding}", "Revision": revision}
            rows += [row] * draw(st.integers(1, 2))
            if draw(st.booleans()):
                rows.append(row | {"TimeGenerated": row["TimeGenerated"] + timedelta(days=3)})
    return draw(st.permutations(rows))


def united(lists: Iterable[list[str]]) -> list[str]:
    """Return every value once, ignoring case, in its first spelling and place."""
    found: dict[str, str] = {}
    for values in lists:
        for value in values:
            found.setdefault(value.lower(), value)
    return list(found.values())


def latest_findings(rows: list[Row]) -> dict[str, Row]:
    """Return one row for each finding, by id, from a loop over the rows."""
    revisions: dict[str, dict[int, Row]] = {}
    for row in sorted(rows, key=lambda row: row["TimeGenerated"], reverse=True):
        revisions.setdefault(row["FindingId"], {})[row["Revision"]] = row
    latest = {}
    for name, numbered in revisions.items():
        history = [numbered[number] for number in sorted(numbered)]
        gravest = history[0]
        for row in history:
            if row["RiskScore"] >= gravest["RiskScore"]:
                gravest = row
        latest[name] = history[-1] | {
            **{name: gravest[name] for name in GRAVEST},
            "IdentityRiskScore": max(row["IdentityRiskScore"] for row in history),
            "FirstEvent": min(row["FirstEvent"] for row in history),
            "NewOperations": sum(row["NewOperations"] for row in history),
            **{name: united(row[name] for row in history) for name in SETS},
        }
    return latest


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with the table, empty."""
    connection = duckdb_kql.connect()
    described = ", ".join(f'"{name}" {TYPES[kind]}' for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE ManagedIdentityImpact_CL ({described})")
    return connection


@cache
def translated() -> str:
    """Return the function in DuckDB's SQL; the translation takes longer than a run."""
    return str(duckdb_kql.to_sql(FUNCTION, schema={"ManagedIdentityImpact_CL": list(COLUMNS)}))


def run(database: Any, rows: list[Row]) -> dict[str, Row]:
    """Return the function's rows for a table of these rows, by finding."""
    database.execute("DELETE FROM ManagedIdentityImpact_CL")
    places = ", ".join("?" * len(COLUMNS))
    for row in rows:
        values = [
            json.dumps(row[name]) if kind == "dynamic" else row[name]
            for name, kind in COLUMNS.items()
        ]
        database.execute(f"INSERT INTO ManagedIdentityImpact_CL VALUES ({places})", values)  # noqa: S608 (question marks)
    result = database.execute(translated())
    names = [described[0] for described in result.description]
    found = [dict(zip(names, values, strict=True)) for values in result.fetchall()]
    for row in found:
        row.update(
            {name: json.loads(row[name]) for name, kind in COLUMNS.items() if kind == "dynamic"}
        )
    assert len({row["FindingId"] for row in found}) == len(found)
    return {row["FindingId"]: row for row in found}


@settings(max_examples=settings().max_examples // 5)
@given(tables())
def test_the_function_gives_one_row_a_finding(database: Any, rows: list[Row]) -> None:
    """The row has the latest revision, the gravest score, the united sets and the sum."""
    assert run(database, rows) == latest_findings(rows)


@given(tables())
def test_people_are_shown_what_the_function_gives(rows: list[Row]) -> None:
    """The report and the terminal unite the rows of a finding as the function does."""
    delivered = sorted(rows, key=lambda row: row["TimeGenerated"])
    shown = {row["FindingId"]: row for row in findings.united(delivered)}
    assert shown == latest_findings(rows)


def test_repeated_rows_count_once(database: Any) -> None:
    """A row that was delivered three times, once with a later time, counts once."""
    row = next(iter(_rows()))
    again = row | {"TimeGenerated": row["TimeGenerated"] + timedelta(days=3)}
    assert run(database, [again, row, row]) == {"f": row}


def test_revisions_are_united_into_one_finding(database: Any) -> None:
    """Of two revisions the later one's columns count, with the score of the graver one."""
    first, second = _rows()
    found = run(database, [second, first])["f"]
    assert found == second | {
        "FirstEvent": first["FirstEvent"],
        "NewOperations": 5,
        "RiskScore": 69,
        "SuggestedSeverity": "High",
        "IdentityRiskScore": 69,
        "Resources": ["Azure Storage", "Azure Key Vault"],
        "Operations": ["A/WRITE", "b/delete"],
    }


def _rows() -> list[Row]:
    """Return two revisions of a finding."""
    blank = {"boolean": False, "dynamic": [], "int": 0, "long": 0, "string": "", "datetime": BEGIN}
    row = {name: blank[kind] for name, kind in COLUMNS.items()}
    later = BEGIN + timedelta(hours=1)
    first = {"FindingId": "f", "Revision": 1, "NewOperations": 3, "Resources": ["Azure Storage"]}
    first |= {"RiskScore": 69, "SuggestedSeverity": "High", "IdentityRiskScore": 69}
    second = {"Revision": 2, "NewOperations": 2, "FirstEvent": later, "TimeGenerated": later}
    second |= {"RiskScore": 6, "SuggestedSeverity": "Low", "IdentityRiskScore": 6}
    return [
        row | first | {"Operations": ["A/WRITE"]},
        row
        | first
        | second
        | {
            "Resources": ["Azure Key Vault", "AZURE STORAGE"],
            "Operations": ["a/write", "b/delete"],
        },
    ]
