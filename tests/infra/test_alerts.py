"""The alert queries run in DuckDB: what they tell of, and what they keep quiet about.

Both those that are deployed and those that the documentation gives. `ingestion_time()` becomes a
column, which duckdb-kql lacks, and `ago()` a moment, so that a rule can be run again and again;
the rest is as it is.
"""

import itertools
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
VISIBLE = 10  # minutes after its arrival at which a row is visible at the latest

KINDS = {
    "string": "VARCHAR",
    "datetime": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "long": "BIGINT",
    "int": "BIGINT",
    "dynamic": "JSON",
}
FINDING = {"ServicePrincipalName": "app", "ServicePrincipalId": "id", "ResourceGroup": "rg"}
RUN = {"Mode": "Scheduled", "Status": "Success", "WorkspaceId": "w1", "Reason": "", "Error": ""}


def connection() -> Any:
    """Return a database with both tables, empty."""
    made = kusto.connect()
    for table, row in ((FINDINGS_TABLE, Finding), (RUNS_TABLE, RunRecord)):
        listed = ", ".join(f'"{name}" {KINDS[kind]}' for name, kind in columns(row))
        made.execute(f"CREATE TABLE {table} ({listed}, Ingested TIMESTAMP)")
    return made


@pytest.fixture
def database() -> Iterator[Any]:
    """Give a database with both tables, empty."""
    with connection() as made:
        yield made


def put(database: Any, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    names, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # noqa: S608


def ask(database: Any, text: str, now: datetime = NOW) -> list[dict[str, Any]]:
    """Return what a query gives at a moment."""
    text = text.replace("ingestion_time()", "Ingested")
    text = re.sub(r"\bago\((\w+)\)", rf"(datetime({now.isoformat()}) - \1)", text)
    found = duckdb_kql.kql(database, text)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def deployed(name: str) -> str:
    """Return a query that is deployed."""
    text = (INFRA / "queries" / f"{name}.kql").read_text("utf-8")
    return text.replace("{workspaceIds}", '", "'.join(WATCHED))  # as alerts.bicep does


def documented(page: str, telling: str) -> str:
    """Return the query of a page in which some text occurs."""
    text = (ROOT / page).read_text("utf-8")
    (query,) = [
        each for each in re.findall(r"```kusto\n(.*?)```", text, re.DOTALL) if telling in each
    ]
    return str(query)


GRAVE = documented("docs/triage.md", "Because")
WATCHER = documented("docs/triage.md", "Examined <")
HEALTH = documented("docs/operations.md", "LastWindow")
TROUBLE = documented("docs/operations.md", "ingestion_time()")
HOURS = documented("docs/operations.md", "Hours = ")


def findings(database: Any, *rows: tuple[str, int, str, int]) -> list[tuple[Any, ...]]:
    """Return what is told of rows (finding, revision, group, minutes since it arrived).

    Every row is of a run five hours ago, however late it arrived.
    """
    for name, revision, group, minutes in rows:
        about = {"FindingId": name, "Revision": revision, "ResourceGroup": group}
        times = {"TimeGenerated": NOW - 5 * HOUR, "Ingested": NOW - minutes * MINUTE}
        put(database, FINDINGS_TABLE, FINDING | about | times)
    found = ask(database, deployed("findings_alert"))
    return sorted(tuple(row.values())[1:] for row in found)


def run(database: Any, ago: timedelta = HOUR, late: timedelta = 2 * MINUTE, **row: Any) -> None:
    """Add the record of a run so long ago, which arrived late."""
    at = NOW - ago
    times = {"TimeGenerated": at, "WindowEnd": at, "Ingested": at + late}
    put(database, RUNS_TABLE, RUN | times | {"RunId": f"{ago} {row}"} | row)


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
    for workspace, status in runs:
        run(database, WorkspaceId=workspace, Status=status)
    assert len(ask(database, deployed("silence_alert"))) == count


@pytest.mark.parametrize(("mode", "count"), [("Scheduled", 1), ("CatchUp", 1), ("Backfill", 0)])
def test_a_backfill_does_not_break_the_silence(database: Any, mode: str, count: int) -> None:
    """A backfill examines hours of the past: the workspace is as silent as without it."""
    run(database, Mode=mode)
    assert len(ask(database, deployed("silence_alert"))) == count


@pytest.mark.parametrize("minute", [0, 4, 9, 14])
def test_the_documented_alert_tells_of_each_row_once(database: Any, minute: int) -> None:
    """Whenever a row arrives, however late, and is visible, one run of the rule tells of it."""
    rows = []
    for arrived, unseen in itertools.product(range(60), (0, 5, VISIBLE)):
        about = {"FindingId": f"{arrived} {unseen}", "Revision": 1, "SuggestedSeverity": "High"}
        times = {"TimeGenerated": NOW - 10 * HOUR, "Ingested": NOW + arrived * MINUTE}
        rows.append((arrived + unseen, FINDING | about | times))
    again = [(visible + 40, row | {"Ingested": NOW + visible * MINUTE}) for visible, row in rows]
    rows = sorted(rows + again, key=itemgetter(0))
    told = []
    for at in range(minute, 150, 15):
        while rows and rows[0][0] <= at:
            put(database, FINDINGS_TABLE, rows.pop(0)[1])
        told += [row["FindingId"] for row in ask(database, GRAVE, NOW + at * MINUTE)]
    assert rows == []
    assert len(told) == len(set(told)) == 180


def test_the_documented_alert_tells_of_each_revision(database: Any) -> None:
    """A further revision of a finding is told of, too."""
    for revision, minutes in ((1, 70), (2, 20), (3, 15)):
        about = {"FindingId": "f", "Revision": revision, "SuggestedSeverity": "High"}
        times = {"TimeGenerated": NOW - 2 * HOUR, "Ingested": NOW - minutes * MINUTE}
        put(database, FINDINGS_TABLE, FINDING | about | times)
    assert sorted(row["Revision"] for row in ask(database, GRAVE)) == [2, 3]


def test_the_documented_alert_says_how_it_is_to_be_run() -> None:
    """The frequency and the query period of the rule are stated, and the query is made for them."""
    text = " ".join((ROOT / "docs" / "triage.md").read_text("utf-8").split())
    [minutes] = re.findall(
        r"run it \*\*every (\d+) minutes\*\* over \*\*the last two days\*\*", text
    )
    earliest, latest = re.findall(r"Arrived <?>?=? ago\((\d+)m\)", GRAVE)
    assert int(latest) == VISIBLE
    assert int(earliest) - int(latest) == int(minutes)
    assert "TimeGenerated >" not in GRAVE


@pytest.mark.parametrize(
    ("severity", "told"), [("Critical", 1), ("High", 1), ("Medium", 0), ("Low", 0)]
)
def test_the_documented_alert_tells_of_graver_findings(
    database: Any, severity: str, told: int
) -> None:
    """Findings that are High or Critical are told of, with their gravest reason; no others are."""
    about = {"FindingId": "f", "Revision": 1, "SuggestedSeverity": severity}
    reasons = {"RiskReasons": '[{"Points": 40, "Reason": "because"}]'}
    times = {"TimeGenerated": NOW, "Ingested": NOW - 12 * MINUTE}
    put(database, FINDINGS_TABLE, FINDING | about | reasons | times)
    assert [row["Because"] for row in ask(database, GRAVE)] == ["because"] * told


def test_the_watcher_of_the_watcher_is_quiet_while_all_is_well(database: Any) -> None:
    """Runs of every workspace, none of them in trouble for three hours, give no row."""
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
    ids=["no runs", "one silent", "warned", "failed", "only a backfill", "told late"],
)
def test_the_watcher_of_the_watcher_tells_of_trouble(
    database: Any, runs: list[dict[str, Any]]
) -> None:
    """Silence of all or of one workspace, warnings and failures give a row, however late."""
    for each in runs:
        run(database, **each)
    assert len(ask(database, WATCHER)) == 1


def test_the_watcher_of_the_watcher_says_why(database: Any) -> None:
    """The reasons of runs in trouble are shown, the error where there is one."""
    run(database, Status="Warning", Reason="a table is missing")
    run(database, Status="Failure", Reason="not read", Error="no role")
    run(database)
    (row,) = ask(database, WATCHER)
    assert (row["Troubled"], sorted(row["Why"])) == (2, ["a table is missing", "no role"])


def test_health_is_of_the_schedule(database: Any) -> None:
    """A workspace in which only a backfill ran is not shown as one that runs."""
    run(database, Mode="Backfill")
    assert ask(database, HEALTH) == []
    run(database, Status="Failure")
    assert [(row["Runs"], row["Failures"]) for row in ask(database, HEALTH)] == [(1, 1)]


def test_trouble_that_is_told_late_is_shown(database: Any) -> None:
    """A record of failure that arrives after a day of outage is among the last day's troubles."""
    run(database, 30 * HOUR, 29 * HOUR, Status="Failure", Error="no role")
    run(database, 30 * HOUR, Status="Failure", Error="of the day before")
    run(database)
    assert [row["Error"] for row in ask(database, TROUBLE)] == ["no role"]


def test_hours_of_the_last_day_are_those_examined(database: Any) -> None:
    """Hours count by the window, not by when it was made good, and by schedule alone."""
    run(database, HOUR)
    run(database, HOUR, WindowEnd=NOW - 5 * HOUR, Mode="CatchUp", RunId="caught up")
    run(database, HOUR, WindowEnd=NOW - 50 * HOUR, Mode="CatchUp", RunId="of before")
    run(database, HOUR, WindowEnd=NOW - 7 * HOUR, Mode="Backfill", RunId="backfilled")
    run(database, 2 * HOUR, Status="Failure")
    assert [row["Hours"] for row in ask(database, HOURS)] == [2]
