"""The deployed and the documented alert queries, run in DuckDB, report findings and failures.

`ingestion_time()`, which duckdb-kql lacks, becomes a column, and `ago()` becomes a fixed time, so a
rule can run repeatedly. The rest of each query is unchanged.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import duckdb_kql
import pytest

from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from tests.infra.compiler import INFRA
from tests.support import ROOT, kusto

RUNS_TABLE = "ManagedIdentityImpactRuns_CL"
WATCHED = ("w1", "w2")
NOW = datetime(2026, 3, 14, 10, tzinfo=UTC).replace(tzinfo=None)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
VISIBLE = 10  # minutes after its arrival until a row is visible

KINDS = {
    "string": "VARCHAR",
    "datetime": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "long": "BIGINT",
    "int": "BIGINT",
    "dynamic": "JSON",
}
FINDING = {"ServicePrincipalName": "app", "ServicePrincipalId": "id", "ResourceGroup": "rg"}
GRAVEST = {
    "SuggestedSeverity": "High",
    "RiskScore": 57,
    "RiskReasons": '[{"Points": 44, "Reason": "because"}, {"Points": 13, "Reason": "and"}]',
}
RUN = {"Mode": "Scheduled", "Status": "Success", "WorkspaceId": "w1", "Reason": "", "Error": ""}


def connection() -> Any:
    """Return a new database with both tables, empty."""
    opened = kusto.connect()
    for table, row in ((FINDINGS_TABLE, Finding), (RUNS_TABLE, RunRecord)):
        listed = ", ".join(f'"{name}" {KINDS[kind]}' for name, kind in columns(row))
        opened.execute(f"CREATE TABLE {table} ({listed}, Ingested TIMESTAMP)")
    return opened


@pytest.fixture
def database() -> Iterator[Any]:
    """Give a database with both tables, empty."""
    with connection() as opened:
        yield opened


def put(database: Any, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # noqa: S608


def ask(database: Any, text: str, now: datetime = NOW) -> list[dict[str, Any]]:
    """Return the rows of a query at a time."""
    text = text.replace("ingestion_time()", "Ingested")
    text = re.sub(r"\bago\((\w+)\)", rf"(datetime({now.isoformat()}) - \1)", text)
    found = duckdb_kql.kql(database, text)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def deployed(name: str) -> str:
    """Return a deployed query."""
    text = (INFRA / "queries" / f"{name}.kql").read_text("utf-8")
    # As in alerts.bicep.
    return text.replace("{workspaceIds}", '", "'.join(WATCHED)).replace("{severity}", "High")


def documented(page: str, contained_text: str) -> str:
    """Return the only query of a page that contains a text."""
    text = (ROOT / page).read_text("utf-8")
    (query,) = [
        each
        for each in re.findall(r"```kusto\n(.*?)```", text, re.DOTALL)
        if contained_text in each
    ]
    return str(query)


GRAVE = documented("docs/triage.md", "Because")
WATCHER = documented("docs/triage.md", "Examined <")
HEALTH = documented("docs/operations.md", "LastWindow")
TROUBLE = documented("docs/operations.md", "ingestion_time()")
HOURS = documented("docs/operations.md", "Hours = ")


def findings(database: Any, *rows: tuple[str, int, str, int]) -> list[tuple[Any, ...]]:
    """Return the alert's rows for High findings (id, revision, group, minutes since arrival).

    Every row is from a run five hours ago, whenever it arrived.
    """
    for name, revision, group, minutes in rows:
        about = {"FindingId": name, "Revision": revision, "ResourceGroup": group} | GRAVEST
        times = {"TimeGenerated": NOW - 5 * HOUR, "Ingested": NOW - minutes * MINUTE}
        put(database, FINDINGS_TABLE, FINDING | about | times)
    found = ask(database, deployed("findings_alert"))
    return sorted(tuple(row.values())[1:] for row in found)


def run(database: Any, ago: timedelta = HOUR, late: timedelta = 2 * MINUTE, **row: Any) -> None:
    """Add the record of a run, `ago` before now, which arrived `late` after it."""
    at = NOW - ago
    times = {"TimeGenerated": at, "WindowEnd": at, "Ingested": at + late}
    put(database, RUNS_TABLE, RUN | times | {"RunId": f"{ago} {row}"} | row)


def test_late_arrivals_raise_an_alert(database: Any) -> None:
    """A row that has just arrived raises an alert, even if its run is hours ago."""
    reported = findings(database, ("new", 1, "rg", 5), ("old", 1, "rg", 45))
    assert reported == [("new", "1", "app id", "rg", "57", "because")]


def test_every_revision_raises_one_alert(database: Any) -> None:
    """A further revision raises an alert of its own, and a repeated row does not."""
    reported = findings(database, ("f", 1, "rg", 200), ("f", 1, "rg", 3), ("f", 2, "rg", 3))
    assert reported == [("f", "2", "app id", "rg", "57", "because")]


def test_operations_on_a_subscription_raise_an_alert(database: Any) -> None:
    """A finding without a resource group has a value in every dimension."""
    assert findings(database, ("f", 1, "", 3)) == [("f", "1", "app id", "none", "57", "because")]


@pytest.mark.parametrize("reasons", ["[]", '[{"Points": 1, "Reason": ""}]', None])
def test_findings_without_a_reason_raise_an_alert(database: Any, reasons: str | None) -> None:
    """A finding without a reason has a value in every dimension."""
    about = {"FindingId": "f", "Revision": 1} | GRAVEST | {"RiskReasons": reasons}
    put(database, FINDINGS_TABLE, FINDING | about | {"Ingested": NOW})
    (row,) = ask(database, deployed("findings_alert"))
    assert row["Reason"] == "none"


def test_a_long_reason_is_cut(database: Any) -> None:
    """The reason of an alert has at most 200 characters."""
    about = GRAVEST | {"RiskReasons": json.dumps([{"Points": 1, "Reason": "x" * 300}])}
    put(database, FINDINGS_TABLE, FINDING | about | {"Ingested": NOW})
    (row,) = ask(database, deployed("findings_alert"))
    assert row["Reason"] == "x" * 200


@pytest.mark.parametrize("severity", ["Medium", "Low", "Informational"])
def test_findings_of_another_severity_are_left_to_another_rule(
    database: Any, severity: str
) -> None:
    """The rule of a severity reports findings of this severity only."""
    about = GRAVEST | {"SuggestedSeverity": severity}
    put(database, FINDINGS_TABLE, FINDING | about | {"Ingested": NOW})
    assert ask(database, deployed("findings_alert")) == []


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
def test_silence_raises_an_alert(database: Any, runs: list[tuple[str, str]], count: int) -> None:
    """A workspace without a run in time makes the count smaller than the number of workspaces."""
    for workspace, status in runs:
        run(database, WorkspaceId=workspace, Status=status)
    assert len(ask(database, deployed("silence_alert"))) == count


@pytest.mark.parametrize(("mode", "count"), [("Scheduled", 1), ("CatchUp", 1), ("Backfill", 0)])
def test_a_backfill_does_not_end_a_silence(database: Any, mode: str, count: int) -> None:
    """A backfill reads hours of the past, so the workspace stays silent."""
    run(database, Mode=mode)
    assert len(ask(database, deployed("silence_alert"))) == count


@pytest.mark.parametrize("minute", [0, 4, 9, 14])
def test_the_documented_alert_reports_each_row_once(database: Any, minute: int) -> None:
    """Exactly one run of the rule reports each row, whenever it arrives and becomes visible."""
    rows = []
    for arrived, unseen in itertools.product(range(60), (0, 5, VISIBLE)):
        about = {"FindingId": f"{arrived} {unseen}", "Revision": 1, "SuggestedSeverity": "High"}
        times = {"TimeGenerated": NOW - 10 * HOUR, "Ingested": NOW + arrived * MINUTE}
        rows.append((arrived + unseen, FINDING | about | times))
    again = [(visible + 40, row | {"Ingested": NOW + visible * MINUTE}) for visible, row in rows]
    rows = sorted(rows + again, key=itemgetter(0))
    reported = []
    for at in range(minute, 150, 15):
        while rows and rows[0][0] <= at:
            put(database, FINDINGS_TABLE, rows.pop(0)[1])
        reported += [row["FindingId"] for row in ask(database, GRAVE, NOW + at * MINUTE)]
    assert rows == []
    assert len(reported) == len(set(reported)) == 180


def test_the_documented_alert_reports_each_revision(database: Any) -> None:
    """A further revision of a finding is reported too."""
    for revision, minutes in ((1, 70), (2, 20), (3, 15)):
        about = {"FindingId": "f", "Revision": revision, "SuggestedSeverity": "High"}
        times = {"TimeGenerated": NOW - 2 * HOUR, "Ingested": NOW - minutes * MINUTE}
        put(database, FINDINGS_TABLE, FINDING | about | times)
    assert sorted(row["Revision"] for row in ask(database, GRAVE)) == [2, 3]


def test_the_documented_alert_states_its_schedule() -> None:
    """The page states the rule's frequency and query period, and the query fits them."""
    text = " ".join((ROOT / "docs" / "triage.md").read_text("utf-8").split())
    [minutes] = re.findall(
        r"run it \*\*every (\d+) minutes\*\* over \*\*the last two days\*\*", text
    )
    earliest, latest = re.findall(r"Arrived <?>?=? ago\((\d+)m\)", GRAVE)
    assert int(latest) == VISIBLE
    assert int(earliest) - int(latest) == int(minutes)
    assert "TimeGenerated >" not in GRAVE


@pytest.mark.parametrize(
    ("severity", "reported"), [("High", 1), ("Medium", 1), ("Low", 0), ("Informational", 0)]
)
def test_the_documented_alert_reports_graver_findings(
    database: Any, severity: str, reported: int
) -> None:
    """High and Medium findings are reported, with their first reason, address and resource."""
    about = {"FindingId": "f", "Revision": 1, **GRAVEST, "SuggestedSeverity": severity}
    lists = {"CallerIpAddresses": '["192.0.2.1", "192.0.2.2"]', "AffectedResources": "[]"}
    times = {"TimeGenerated": NOW, "Ingested": NOW - 12 * MINUTE}
    put(database, FINDINGS_TABLE, FINDING | about | lists | times)
    assert [(row["Because"], row["Address"], row["Target"]) for row in ask(database, GRAVE)] == [
        ("because", "192.0.2.1", "")
    ] * reported


def test_the_health_alert_is_silent_without_trouble(database: Any) -> None:
    """Good runs of every workspace in the last three hours give no row."""
    for workspace in WATCHED:
        run(database, WorkspaceId=workspace)
        run(database, 9 * HOUR, WorkspaceId=workspace, Status="Failure")
    assert ask(database, WATCHER) == []


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [{"ago": HOUR}, {"ago": 9 * HOUR, "WorkspaceId": "w2"}],
        [{"Status": "Warning"}],
        [{"Status": "Failure"}],
        [{"ago": 9 * HOUR}, {"Mode": "Backfill"}],
        [{}, {"ago": 30 * HOUR, "late": 29 * HOUR, "Status": "Failure"}],
    ],
    ids=["no runs", "one silent", "warned", "failed", "only a backfill", "late record"],
)
def test_the_health_alert_reports_trouble(database: Any, runs: list[dict[str, Any]]) -> None:
    """Silence of all workspaces or of one, warnings and failures give a row, even if late."""
    for each in runs:
        run(database, **each)
    assert len(ask(database, WATCHER)) == 1


def test_the_health_alert_gives_reasons(database: Any) -> None:
    """The row shows the reasons of failed runs and warnings, or the error if there is one."""
    run(database, Status="Warning", Reason="a table is missing")
    run(database, Status="Failure", Reason="not read", Error="no role")
    run(database)
    (row,) = ask(database, WATCHER)
    assert (row["Troubled"], sorted(row["Why"])) == (2, ["a table is missing", "no role"])


def test_the_health_query_shows_scheduled_runs_only(database: Any) -> None:
    """A workspace with only a backfill is not shown as running."""
    run(database, Mode="Backfill")
    assert ask(database, HEALTH) == []
    run(database, Status="Failure")
    assert [(row["Runs"], row["Failures"]) for row in ask(database, HEALTH)] == [(1, 1)]


def test_late_records_of_failures_are_shown(database: Any) -> None:
    """A failure whose record arrives after a day of outage is among the last day's failures."""
    run(database, 30 * HOUR, 29 * HOUR, Status="Failure", Error="no role")
    run(database, 30 * HOUR, Status="Failure", Error="of the day before")
    run(database)
    assert [row["Error"] for row in ask(database, TROUBLE)] == ["no role"]


def test_hours_are_counted_by_the_window(database: Any) -> None:
    """Hours count by their window and by the schedule alone, not by the time of the run."""
    run(database, HOUR)
    run(database, HOUR, WindowEnd=NOW - 5 * HOUR, Mode="CatchUp", RunId="caught up")
    run(database, HOUR, WindowEnd=NOW - 50 * HOUR, Mode="CatchUp", RunId="of before")
    run(database, HOUR, WindowEnd=NOW - 7 * HOUR, Mode="Backfill", RunId="backfilled")
    run(database, 2 * HOUR, Status="Failure")
    assert [row["Hours"] for row in ask(database, HOURS)] == [2]
