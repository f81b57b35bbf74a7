"""Exclusions, corroborating actions and past changes of a workspace, read through the real SDK."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from detection.errors import SourceError
from detection.ranking.baseline import PastChange
from detection.ranking.identity_details import USER_ASSIGNED, details_by_identity
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_NAME, TIME
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.sources.log_analytics.client import LogAnalytics
from detection.sources.workspace.context import (
    IDENTITIES_PER_QUERY,
    LATE_CHANGES_SHAPE,
    WorkspaceContext,
)
from detection.sources.workspace.kusto_correlation import MAX_EXCLUDED_ADDRESSES
from detection.window import Mode, Seen, Window
from emulator.services.api_errors import too_many_rows
from tests.support import EXCLUSIONS, NOW, OPERATIONS, SIGN_INS, response
from tests.support.details import ASSIGNMENT, HOST, OWN, OWNER, SUBSCRIPTION, request_body
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService, Reply, client_for

TEN = parse_time(NOW)
WINDOW = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
ROLE = "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE"
LIST, REGENERATE = "A/LISTKEYS/ACTION", "A/REGENERATEKEY/ACTION"
ENTRY = {
    "ServicePrincipalId": "id-1",
    "ResourceGroup": None,
    "OperationClasses": "routine",
    "Owner": "ops",
    "Reason": "deploys",
    "Expires": "2027-01-01",
}

Connect = Callable[[], WorkspaceContext]


def action(minutes: int, name: str = LIST, **fields: Any) -> dict[str, Any]:
    """Return an action `minutes` before the window's end."""
    return {
        "TimeGenerated": format_time(TEN - minutes * MINUTE),
        "Caller": "ID-1",
        "OperationNameValue": name,
        "ActivityStatusValue": "Success",
        "EventDataId": f"{name}{minutes}",
    } | fields


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve actions of two identities and an exclusion."""
    rows = [
        action(10),
        action(5, REGENERATE),
        action(4, "A/RESTART/ACTION"),
        action(3, ActivityStatusValue="Failure"),
        action(2, Caller="id-2"),
        action(200),
        action(1, "A/KEYS/WRITE"),
    ]
    with LogAnalyticsService({OPERATIONS: rows, EXCLUSIONS: [ENTRY]}) as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def connect(service: LogAnalyticsService) -> Iterator[Connect]:
    """Connect to the service, and close all connections at the end."""
    with ExitStack() as stack:

        def to_service() -> WorkspaceContext:
            client = stack.enter_context(client_for(service.endpoint))
            workspace = LogAnalytics(client=client, workspace_id=WORKSPACE, sleep=lambda _: None)
            return WorkspaceContext(workspace, alias=EXCLUSIONS)

        yield to_service


def test_exclusions_are_read(connect: Connect) -> None:
    """Each entry of the watchlist has its six columns, with null as blank."""
    assert connect().exclusions() == [("id-1", "", "routine", "ops", "deploys", "2027-01-01")]


def test_without_a_watchlist_there_are_no_exclusions(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A workspace without watchlists excludes nothing."""
    del service.tables[EXCLUSIONS]
    assert connect().exclusions() == []


def test_relevant_actions_of_the_window_are_read(connect: Connect) -> None:
    """The actions are relevant, successful, in the window and of these identities in any case."""
    rows = connect().actions({"id-1"}, WINDOW, TEN, RuleSettings())
    assert [(row[OPERATION_NAME], row[TIME]) for row in rows] == [
        (LIST, TEN - 10 * MINUTE),
        (REGENERATE, TEN - 5 * MINUTE),
    ]


def test_actions_that_had_not_arrived_are_left_out(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A run reads only actions that had arrived at its time."""
    service.tables[OPERATIONS] = [action(10, IngestionTime=format_time(TEN + 1))]
    assert connect().actions({"id-1"}, WINDOW, TEN, RuleSettings()) == []


def test_a_missing_table_has_no_actions(connect: Connect, service: LogAnalyticsService) -> None:
    """Without the activity table there are no corroborating actions."""
    del service.tables[OPERATIONS]
    assert connect().actions({"id-1"}, WINDOW, TEN, RuleSettings()) == []


def test_many_identities_take_several_queries(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A query names a thousand identities; an identity that cannot be quoted is left out."""
    identities = {f"id-{n}" for n in range(IDENTITIES_PER_QUERY + 1)} | {"a\nb"}
    assert len(connect().actions(identities, WINDOW, TEN, RuleSettings())) == 3
    assert len(service.called("actions")) == 2


def test_the_days_of_past_changes_are_read(connect: Connect, service: LogAnalyticsService) -> None:
    """Each day, identity, operation and resource group comes once, for successful changes only."""
    service.tables[OPERATIONS] = [
        action(minutes, "A/WRITE", ResourceGroup="rg", CallerIpAddress="198.51.100.9")
        for minutes in (10, 20, 24 * 60 + 10)
    ] + [action(5)]
    signed_in = {"TimeGenerated": NOW, "ServicePrincipalId": "ID-1"}
    service.tables[SIGN_INS] = [signed_in]
    days = connect().past_changes(TEN - 14 * DAY, TEN, RuleSettings())
    midnight = parse_time(NOW[:10])
    assert [change for change in days if change.operation] == [
        PastChange(midnight - DAY, "id-1", "a/write", "rg", ""),
        PastChange(midnight, "id-1", "a/write", "rg", ""),
    ]
    addresses = [change for change in days if not change.operation]
    assert addresses == [
        PastChange(midnight - DAY, "id-1", "", "", "198.51.100.9"),
        PastChange(midnight, "id-1", "", "", "198.51.100.9"),
    ]


def test_details_of_the_window_are_read(connect: Connect, service: LogAnalyticsService) -> None:
    """Claims, rights, requests and failures of these identities come as rows of details."""
    claims = {"uti": "t", "xms_mirid": OWN, "xms_az_rid": HOST}
    right = {"evidence": {"role": "Owner", "roleAssignmentScope": SUBSCRIPTION}}
    asked = {"requestbody": request_body(principalId="p", roleDefinitionId=OWNER)}
    assigned = {"ResourceId": ASSIGNMENT, "CorrelationId": "c", "ResourceGroup": "rg"}
    service.tables[SIGN_INS] = [
        {"TimeGenerated": format_time(TEN - MINUTE), "ServicePrincipalId": "id-1"}
        | {"AADTenantId": "tenant"}
    ]
    service.tables[OPERATIONS] = [
        action(9, CallerIpAddress="192.0.2.1", Claims=json.dumps(claims)),
        action(8, CallerIpAddress="192.0.2.2", Claims_d=claims, Authorization_d=right),
        action(7, ROLE, ActivityStatusValue="Start", Properties_d=asked, **assigned),
        action(6, ROLE, **assigned),
        action(5, ActivityStatusValue="Failed"),
        action(4, IngestionTime=format_time(TEN + 1), ActivityStatusValue="Failed"),
        action(3, Caller="id-2", ActivityStatusValue="Failed"),
        action(200, ActivityStatusValue="Failed"),
    ]
    rows = connect().identity_details({"id-1"}, WINDOW, TEN)
    (found,) = details_by_identity(rows, ("Success",)).values()
    assert found[:4] == ("tenant", USER_ASSIGNED, OWN, HOST)
    assert found.roles() == [("Owner", SUBSCRIPTION)]
    (grant,) = found.grants
    assert (grant.time, grant.role, grant.principal_id) == (TEN - 6 * MINUTE, "Owner", "p")
    assert [(use.token, use.time, use.address) for use in found.token_uses] == [
        ("t", TEN - 9 * MINUTE, "192.0.2.1"),
        ("t", TEN - 8 * MINUTE, "192.0.2.2"),
    ]
    assert found.failed_operations == 1


def test_a_missing_table_has_no_details(connect: Connect, service: LogAnalyticsService) -> None:
    """Without the sign-ins' table there are no details, and no error."""
    assert SIGN_INS not in service.tables
    assert connect().identity_details({"id-1"}, WINDOW, TEN) == []


def test_details_of_many_identities_take_several_queries(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A query names a thousand identities, as for actions."""
    service.tables[SIGN_INS] = []
    identities = {f"id-{n}" for n in range(IDENTITIES_PER_QUERY + 1)} | {"a\nb"}
    connect().identity_details(identities, WINDOW, TEN)
    assert len(service.called("identity_details")) == 2


NOTHING_SEEN = Seen(WINDOW.start, TEN)


def sign_in(minutes: int, address: str = "") -> dict[str, Any]:
    """Return a sign-in to Key Vault `minutes` before the window's end."""
    return {
        "TimeGenerated": format_time(TEN - minutes * MINUTE),
        "ServicePrincipalId": "id-1",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "IPAddress": address,
    }


def late_changes(context: WorkspaceContext, allowlist: Sequence[str] = ()) -> list[LateChanges]:
    """Return the changes of the window that are too long after a sign-in."""
    known = Allowlist.of(allowlist)
    return sorted(context.late_changes(WINDOW, NOTHING_SEEN, TEN, RuleSettings(), known))


def test_changes_too_long_after_a_sign_in_are_counted(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """One query counts them by identity, operation and resource group, in lower case."""
    service.tables[SIGN_INS] = [sign_in(300), sign_in(3000)]
    service.tables[OPERATIONS] += [
        action(20, "A/DELETE", ResourceGroup="RG", ActivityStatusValue="success"),
        action(100, "A/DELETE", ResourceGroup="RG"),
        action(2, "A/DELETE", Caller="id-2"),
    ]
    assert late_changes(connect()) == [
        LateChanges("id-1", "a/delete", "rg", 2),
        LateChanges("id-1", "a/keys/write", "", 1),
    ]
    assert [call.kind for call in service.calls] == ["near_misses"]


def test_sign_ins_from_allowlisted_addresses_are_left_out(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """With an allowlist, a first query asks for the addresses of the day."""
    service.tables[SIGN_INS] = [sign_in(300), sign_in(10, "10.0.0.1")]
    context = connect()
    assert late_changes(context, ["10.9.9.9"]) == []  # one sign-in is within the hour
    assert late_changes(context, ["10.0.0.0/30"]) == [LateChanges("id-1", "a/keys/write", "", 1)]
    assert [call.kind for call in service.calls] == ["addresses", "near_misses"] * 2
    service.script("addresses", *[Reply(error=too_many_rows())] * 2)
    with pytest.raises(SourceError, match="could not be read completely"):
        late_changes(context, ["10.0.0.1"])
    service.tables[SIGN_INS] = [
        sign_in(30, f"10.0.{n // 256}.{n % 256}") for n in range(MAX_EXCLUDED_ADDRESSES + 1)
    ]
    with pytest.raises(SourceError, match="2001 addresses in the allowlist"):
        late_changes(context, ["10.0.0.0/16"])


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
def test_a_missing_table_has_no_near_misses(
    connect: Connect, service: LogAnalyticsService, table: str
) -> None:
    """Without either table nothing is counted; the run record warns of it anyway."""
    service.tables[SIGN_INS] = [sign_in(300)]
    del service.tables[table]
    assert late_changes(connect(), ["10.0.0.1"]) == []


def test_counts_that_exceed_one_answer_are_read_in_halves(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The query is divided by identity, and its parts add up."""
    service.tables[SIGN_INS] = [sign_in(300)]
    context = connect()
    whole = late_changes(context)
    service.script("near_misses", *[Reply(error=too_many_rows())] * 2)
    assert late_changes(context) == whole != []
    service.script("near_misses", *[Reply(error=too_many_rows())] * 100)
    with pytest.raises(SourceError, match="could not be read completely"):
        late_changes(context)


def test_an_unreadable_number_is_an_error(connect: Connect, service: LogAnalyticsService) -> None:
    """An answer of another form is not taken for one without near misses."""
    row = ["a"] * len(LATE_CHANGES_SHAPE.columns)
    body = json.dumps(response(LATE_CHANGES_SHAPE.columns, [row])).encode()
    service.script("near_misses", Reply(body=body))
    with pytest.raises(SourceError, match="unreadable"):
        late_changes(connect())


@pytest.mark.parametrize("kind", ["exclusions", "actions", "identity_details", "baseline"])
def test_a_partial_answer_is_an_error(
    connect: Connect, service: LogAnalyticsService, kind: str
) -> None:
    """Partial rows are never used as the whole."""
    service.script(kind, *[Reply(error=too_many_rows())] * 2)
    service.tables[SIGN_INS] = []
    context = connect()
    reads: dict[str, Callable[[], object]] = {
        "exclusions": context.exclusions,
        "actions": lambda: context.actions({"id-1"}, WINDOW, TEN, RuleSettings()),
        "identity_details": lambda: context.identity_details({"id-1"}, WINDOW, TEN),
        "baseline": lambda: context.past_changes(TEN - 14 * DAY, TEN, RuleSettings()),
    }
    with pytest.raises(SourceError, match="could not be read completely"):
        reads[kind]()
