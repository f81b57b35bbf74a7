"""The deployed alert on silence and the documented alert queries, run in DuckDB."""

import itertools
import re
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest

from detection.schema import FINDINGS_TABLE, LOCAL
from tests.infra.alert_tables import (
    DEPLOYMENT,
    HOUR,
    MINUTE,
    NOW,
    RUNS_TABLE,
    WATCHED,
    ask,
    deployed,
    put,
)
from tests.support import ROOT

VISIBLE = 10  # minutes after its arrival until a row is visible

FINDING = {"ServicePrincipalName": "app", "ServicePrincipalId": "id", "ResourceGroup": "rg"}
GRAVEST = {
    "SuggestedSeverity": "High",
    "RiskScore": 57,
    "RiskReasons": '[{"Points": 44, "Reason": "because"}, {"Points": 13, "Reason": "and"}]',
}
RUN = {
    "Mode": "Scheduled",
    "Status": "Success",
    "WorkspaceId": "w1",
    "Reason": "",
    "Error": "",
    "Deployment": DEPLOYMENT,
}


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


def run(database: Any, ago: timedelta = HOUR, late: timedelta = 2 * MINUTE, **row: Any) -> None:
    """Add the record of a run, `ago` before now, which arrived `late` after it."""
    at = NOW - ago
    times = {"TimeGenerated": at, "WindowEnd": at, "Ingested": at + late}
    put(database, RUNS_TABLE, RUN | times | {"RunId": f"{ago} {row}"} | row)


def silent(database: Any) -> list[tuple[str, str]]:
    """Return names and ids of the workspaces that the alert on silence reports."""
    reported = ask(database, deployed("silence_alert"))
    for each in reported:
        assert NOW - 3 * HOUR < each["TimeGenerated"] < NOW
    return sorted((each["WorkspaceName"], each["WorkspaceId"]) for each in reported)


ALL = sorted(WATCHED.items())


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], ["w1", "w2"]),
        ([("w1", "Success"), ("w2", "Warning")], []),
        ([("w1", "Success"), ("w1", "Success"), ("w1", "Success")], ["w2"]),
        ([("w1", "Success"), ("w2", "Failure"), ("w2", "Failure")], ["w2"]),
        ([("W1", "Success"), ("elsewhere", "Success")], ["w2"]),
    ],
    ids=["no rows", "all well", "one silent", "one failing", "another workspace's"],
)
def test_silence_names_the_workspace(
    database: Any, runs: list[tuple[str, str]], expected: list[str]
) -> None:
    """Each watched workspace without a good run in time is reported, with its name."""
    for workspace, status in runs:
        run(database, WorkspaceId=workspace, Status=status)
    assert silent(database) == [pair for pair in ALL if pair[1] in expected]


def test_old_runs_do_not_end_a_silence(database: Any) -> None:
    """A run more than three hours ago does not count, even if its record has just arrived."""
    run(database, 4 * HOUR, late=4 * HOUR)
    assert silent(database) == ALL


@pytest.mark.parametrize(
    ("mode", "counts"), [("Scheduled", True), ("CatchUp", True), ("Backfill", False)]
)
def test_only_scheduled_runs_end_a_silence(database: Any, mode: str, counts: bool) -> None:
    """A backfill reads hours of the past, so the workspace stays silent."""
    run(database, Mode=mode)
    assert (("law-security", "w1") not in silent(database)) is counts


@pytest.mark.parametrize("deployment", ["theirs", LOCAL, "", None])
def test_another_deployment_does_not_hide_a_silence(database: Any, deployment: str | None) -> None:
    """Runs of another deployment, of a command line or of an unknown one do not count."""
    run(database, Deployment=deployment)
    assert silent(database) == ALL


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
    for workspace in WATCHED.values():
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
