"""The queries of the page on tuning, run in DuckDB, agree with a plain reading in Python."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from tests.infra.custom_tables import CustomTables, Row
from tests.infra.test_workbook import OPERATIONS, findings, sample
from tests.support.pages import blocks

EXAMPLES = settings().max_examples
IDENTITIES, CLASSES, NEAR_MISSES = blocks("docs/tuning.md", "kusto")
NOW = datetime.now(UTC).replace(tzinfo=None)
YESTERDAY = NOW - timedelta(days=1)


@pytest.fixture(scope="module")
def workspace() -> CustomTables:
    """Return a workspace with both tables, empty."""
    return CustomTables()


def recent(row: Row) -> dict[str, Any]:
    """Return a generated finding, moved into the last thirty days."""
    return {**row, "LastEvent": NOW - timedelta(days=row["LastEvent"].day - 13, hours=1)}


@settings(max_examples=EXAMPLES // 25)
@given(findings())
def test_identities_have_their_highest_score(workspace: CustomTables, rows: list[Row]) -> None:
    """Each identity has its findings counted and its highest score, most findings first."""
    rows = list(map(recent, rows))
    workspace.fill(rows)
    shown = workspace.ask(IDENTITIES)
    assert [row["Findings"] for row in shown] == sorted(
        (row["Findings"] for row in shown), reverse=True
    )
    for row in shown:
        mine = [each for each in rows if each["ServicePrincipalId"] == row["ServicePrincipalId"]]
        assert row["Findings"] == len(mine)
        assert row["Days"] == len({each["LastEvent"].date() for each in mine})
        assert row["HighestRisk"] == max(each["RiskScore"] for each in mine)
        assert row["High"] == sum(each["SuggestedSeverity"] == "High" for each in mine)
    assert sum(row["Findings"] for row in shown) == len(rows)


@settings(max_examples=EXAMPLES // 25)
@given(findings())
def test_classes_are_counted(workspace: CustomTables, rows: list[Row]) -> None:
    """Findings are counted by identity, resource group and the classes of their operations."""
    rows = list(map(recent, rows))
    workspace.fill(rows)
    expected: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        classes = ";".join(sorted({OPERATIONS[name] for name in row["Operations"]}))
        key = (row["ServicePrincipalId"], row["ResourceGroup"], classes)
        expected.setdefault(key, []).append(row)
    shown: dict[tuple[str, ...], Row] = {
        (row["ServicePrincipalId"], row["ResourceGroup"], row["OperationClasses"]): row
        for row in workspace.ask(CLASSES)
    }
    assert shown.keys() == expected.keys()
    for group, same in expected.items():
        assert shown[group]["Findings"] == len(same)
        assert shown[group]["HighestRisk"] == max(row["RiskScore"] for row in same)


@pytest.mark.parametrize("query", [IDENTITIES, CLASSES], ids=["identities", "classes"])
def test_old_findings_and_empty_tables_show_nothing(workspace: CustomTables, query: str) -> None:
    """A finding of more than thirty days ago is not shown, and an empty table gives no row."""
    workspace.fill([sample(LastEvent=NOW - timedelta(days=31))])
    assert workspace.ask(query) == []
    workspace.fill()
    assert workspace.ask(query) == []


def test_a_pipeline_s_classes_come_from_the_function(workspace: CustomTables) -> None:
    """A row that was delivered twice counts once."""
    row = sample(LastEvent=YESTERDAY)
    workspace.fill([row, row])
    (shown,) = workspace.ask(CLASSES)
    assert (shown["Findings"], shown["OperationClasses"]) == (1, "other;routine")
    assert workspace.ask(IDENTITIES)[0]["Findings"] == 1


def test_runs_with_near_misses_come_by_their_number(workspace: CustomTables) -> None:
    """Each run of the last week that has near misses is shown once, and a backfill is not."""
    run = {"TimeGenerated": YESTERDAY, "WorkspaceId": "w", "Mode": "Scheduled"}
    rows = [
        run | {"RunId": "few", "NearMisses": 1},
        run | {"RunId": "many", "NearMisses": 9},
        run | {"RunId": "none", "NearMisses": 0},
        run | {"RunId": "past", "NearMisses": 5, "Mode": "Backfill"},
        run | {"RunId": "old", "NearMisses": 5, "TimeGenerated": NOW - timedelta(days=8)},
    ]
    workspace.fill(runs=[*rows, *rows])
    assert [row["RunId"] for row in workspace.ask(NEAR_MISSES)] == ["many", "few"]
