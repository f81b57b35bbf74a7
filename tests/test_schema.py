"""The columns of both custom tables are declared once, and every row has exactly these."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import orjson
import pytest

from detection.errors import SourceError
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import Logs
from detection.rule.ticks import DAY, parse_time
from detection.schema import Finding, RunRecord, columns
from detection.sources import Arrivals
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore, State
from detection.state.folder import FolderStore
from detection.window import Window
from tests.support import DEMO, NOW, RECORDED, Collected, NoContext

FINDING_COLUMNS = {
    "TimeGenerated": "datetime",
    "FindingId": "string",
    "Revision": "int",
    "WorkspaceId": "string",
    "Deployment": "string",
    "RuleName": "string",
    "RuleVersion": "string",
    "Severity": "string",
    "Tactics": "dynamic",
    "Techniques": "dynamic",
    "ServicePrincipalName": "string",
    "ServicePrincipalId": "string",
    "ResourceGroup": "string",
    "DataPlaneAccesses": "long",
    "MgmtPlaneOps": "long",
    "Resources": "dynamic",
    "Operations": "dynamic",
    "AffectedResources": "dynamic",
    "SubscriptionIds": "dynamic",
    "FirstEvent": "datetime",
    "LastEvent": "datetime",
    "DistinctSignIns": "long",
    "DistinctOperations": "long",
    "NewOperations": "long",
    "CallerIpAddresses": "dynamic",
    "RiskScore": "int",
    "RiskReasons": "dynamic",
    "SuggestedSeverity": "string",
    "Evidence": "dynamic",
    "Entities": "dynamic",
    "FindingTitle": "string",
    "Description": "string",
    "IdentityType": "string",
    "IdentityResourceId": "string",
    "HostResourceId": "string",
    "RolesUsed": "dynamic",
    "Grants": "dynamic",
    "FailedOperations": "long",
    "Links": "dynamic",
    "Investigate": "dynamic",
    "WindowStart": "datetime",
    "WindowEnd": "datetime",
    "RunId": "string",
    "Shortened": "boolean",
}
RUN_COLUMNS = {
    "TimeGenerated": "datetime",
    "RunId": "string",
    "WorkspaceId": "string",
    "Deployment": "string",
    "Status": "string",
    "Reason": "string",
    "WindowStart": "datetime",
    "WindowEnd": "datetime",
    "Mode": "string",
    "LateRows": "long",
    "TooLateRows": "long",
    "SignInsState": "string",
    "OperationsState": "string",
    "AllowlistState": "string",
    "SignInsRead": "long",
    "OperationsRead": "long",
    "SignInsMatched": "long",
    "SignInsExcluded": "long",
    "SignInsWithoutIp": "long",
    "OperationsMatched": "long",
    "OperationsSucceededSpelling": "long",
    "AllowlistEntries": "long",
    "AllowlistInvalid": "dynamic",
    "LatestSignIn": "datetime",
    "LatestOperation": "datetime",
    "Pairs": "long",
    "Findings": "long",
    "FindingsNew": "long",
    "FindingsUpdated": "long",
    "FindingsUnchanged": "long",
    "FindingsExcluded": "long",
    "ExclusionsUsed": "dynamic",
    "ExclusionsExpired": "dynamic",
    "ExclusionsInvalid": "dynamic",
    "DurationMs": "long",
    "BytesRead": "long",
    "RuleVersion": "string",
    "Error": "string",
    "Shortened": "boolean",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", re.ASCII)
OPTIONAL = {"LatestSignIn", "LatestOperation"}
# The columns that hold objects, and the keys of each.
OBJECTS: dict[str, set[str]] = {
    "RiskReasons": {"Points", "Reason"},
    "Evidence": {
        *("Kind", "SignInTime", "Resource", "OperationTime", "MinutesBetween", "Operation"),
        *("OperationClass", "Technique", "ResourceId", "CallerIpAddress", "CorrelationId"),
    },
    "Investigate": {"Title", "Query"},
    "Links": {"Title", "Url"},
    "RolesUsed": {"Role", "Scope"},
    "Grants": {
        *("Time", "Role", "RoleDefinitionId", "Privileged", "PrincipalId", "PrincipalType"),
        *("Scope", "CorrelationId"),
    },
}


class UnreadableSource:
    """A source whose reads fail."""

    context = NoContext()

    def clock(self) -> None:
        """Return no time."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Return no late rows."""
        del since, now, examined, too_late
        return Arrivals()

    def parts(self, window: Window, now: int, settings: RuleSettings) -> Iterator[Logs]:
        """Fail."""
        del settings
        yield self._fail(window, now)

    def _fail(self, window: Window, now: int) -> NoReturn:
        raise SourceError(f"no answer for {window.end} at {now}")


def check_row(row: Mapping[str, object], table: type) -> None:
    """Assert that a row has the table's columns in order, each with a value of its type."""
    declared = columns(table)
    assert list(row) == [name for name, _ in declared]
    for name, kind in declared:
        value = row[name]
        if value is None and name in OPTIONAL:
            continue
        match kind:
            case "string":
                assert isinstance(value, str), name
            case "datetime":
                assert isinstance(value, str), name
                assert MOMENT.fullmatch(value), name
            case "dynamic" if name in OBJECTS:
                assert isinstance(value, list), name
                assert all(item.keys() == OBJECTS[name] for item in value), name
            case "dynamic" if name == "Entities":
                assert isinstance(value, list), name
                assert [item["$id"] for item in value] == [str(n + 1) for n in range(len(value))]
            case "dynamic":
                assert isinstance(value, list), name
                assert all(isinstance(item, str) for item in value), name
            case "boolean":
                assert type(value) is bool, name
            case _:
                assert type(value) is int, name
    assert orjson.loads(orjson.dumps(row)) == row


@pytest.mark.parametrize(
    ("table", "documented"),
    [(Finding, FINDING_COLUMNS), (RunRecord, RUN_COLUMNS)],
    ids=["finding", "run"],
)
def test_documented_columns_are_declared_with_their_types(
    table: type, documented: dict[str, str]
) -> None:
    """Every documented column is declared once, with its type."""
    declared = columns(table)
    assert documented.items() <= dict(declared).items()
    assert len(declared) == len(dict(declared))


@pytest.mark.parametrize("table", [Finding, RunRecord])
def test_columns_have_names_and_types_that_log_analytics_allows(table: type) -> None:
    """Names are identifiers of at most 45 characters, and types are types of a custom table."""
    for name, kind in columns(table):
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,44}", name)
        assert kind in {"string", "datetime", "dynamic", "long", "int", "real", "boolean"}


@pytest.mark.parametrize(
    "expected", sorted(RECORDED.glob("*/expected.json")), ids=lambda path: path.parent.name
)
def test_rows_have_exactly_the_declared_columns(expected: Path) -> None:
    """Findings and run records of every recorded scenario have exactly the declared columns."""
    sink = Collected()
    run(RecordedSource(expected.parent), sink, ReadOnlyStore(), Invocation("w", parse_time(NOW)))
    for row in sink.findings:
        check_row(row, Finding)
    assert len(sink.runs) == 1
    check_row(sink.runs[0], RunRecord)


def test_every_row_names_its_deployment(tmp_path: Path) -> None:
    """Findings, records of runs, of failures and of gaps have the name that the invocation has."""
    now = parse_time(NOW)
    store = FolderStore(tmp_path)
    store.save(State(watermark=now - 8 * DAY), store.load()[1])
    sink = Collected()
    invocation = Invocation("w", now, deployment="ours")
    run(RecordedSource(DEMO), sink, store, invocation)
    run(UnreadableSource(), sink, ReadOnlyStore(), invocation)
    assert sink.findings
    assert {row["Status"] for row in sink.runs} == {"Failure", "Success"}
    assert {row["Deployment"] for row in [*sink.findings, *sink.runs]} == {"ours"}


def test_the_record_of_a_failure_has_the_declared_columns() -> None:
    """A window that could not be read has a record with the declared columns."""
    sink = Collected()
    outcome = run(UnreadableSource(), sink, ReadOnlyStore(), Invocation("w", parse_time(NOW)))
    assert outcome.failures == [f"no answer for {parse_time(NOW)} at {parse_time(NOW)}"]
    assert [row["Status"] for row in sink.runs] == ["Failure"]
    assert sink.runs[0]["Error"] == outcome.failures[0]
    check_row(sink.runs[0], RunRecord)


def test_the_record_of_a_gap_has_the_declared_columns(tmp_path: Path) -> None:
    """Skipped hours have a record that names them, before the records of windows."""
    now = parse_time(NOW)
    store = FolderStore(tmp_path)
    store.save(State(watermark=now - 8 * DAY), store.load()[1])
    sink = Collected()
    run(RecordedSource(DEMO), sink, store, Invocation("w", now))
    assert len(sink.runs) == 1 + 7 * 24
    gap = sink.runs[0]
    assert gap["Status"] == "Failure"
    assert (gap["WindowStart"], gap["WindowEnd"]) == (
        "2026-03-06T10:00:00.0000000Z",
        "2026-03-07T10:00:00.0000000Z",
    )
    assert "MAX_CATCH_UP" in str(gap["Error"])
    for row in sink.runs:
        check_row(row, RunRecord)
