"""The runbook's queries, run in DuckDB, answer the questions about a finding and no other.

Each query runs as the deployed function does, which looks up the finding, and as the report writes
it, with the finding's values.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.kql.runbook import QUESTIONS, WHOLE_TIME, calls, texts, values
from detection.rule.ticks import DAY, HOUR, MINUTE
from detection.schema import FINDINGS_TABLE
from tests.support import OPERATIONS, SIGN_INS, kusto
from tests.support.language_service import LanguageService
from tests.support.pages import blocks
from tests.support.runbook import (
    ADDRESS,
    FINDING,
    FUNCTIONS,
    OTHER,
    OURS,
    QUERIES,
    TABLES,
    TEN,
    ask,
    database,
    deployed,
    put,
    without,
    written,
)

ACTIVITY, ACCESS, HISTORY, RIGHTS = FUNCTIONS
STORAGE = ("StorageBlobLogs", "StorageFileLogs", "StorageQueueLogs", "StorageTableLogs")
VAULTS = ("AZKVAuditLogs", "AzureDiagnostics")
READS = {
    ACTIVITY: (SIGN_INS, OPERATIONS),
    ACCESS: (OPERATIONS, *VAULTS, *STORAGE),
    HISTORY: (),
    RIGHTS: (OPERATIONS,),
}
LONG_CLAIM = "http://schemas.microsoft.com/identity/claims/objectidentifier"
ROLE = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"  # Owner
BOTH = [pytest.param(deployed, id="deployed"), pytest.param(written, id="written")]


@pytest.fixture
def workspace() -> Iterator[Any]:
    """Give a database with all tables, empty but for one finding."""
    connection = database()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def reused() -> Iterator[Any]:
    """Give such a database to all examples of a property test."""
    connection = database()
    yield connection
    connection.close()


def operation(**columns: Any) -> dict[str, Any]:
    """Return a row of the activity log."""
    return {
        "TimeGenerated": TEN,
        "Caller": OURS,
        "OperationNameValue": "A/B/WRITE",
        "ActivityStatusValue": "Success",
        "CorrelationId": "c-1",
        "_ResourceId": "/r/1",
    } | columns


def sign_in(**columns: Any) -> dict[str, Any]:
    """Return a sign-in of the identity."""
    about = {"ServicePrincipalId": OURS, "ResourceDisplayName": "Azure SQL", "ResultType": "0"}
    return {"TimeGenerated": TEN - MINUTE, **about} | columns


def request(**columns: Any) -> dict[str, Any]:
    """Return a row of a storage log."""
    return {
        "TimeGenerated": TEN,
        "OperationName": "GetBlob",
        "StatusText": "Success",
        "AuthenticationType": "OAuth",
        "AccountName": "stshop",
        "Uri": "https://stshop.blob.core.windows.net:443/c/b?comp=block",
    } | columns


def secret_read(table: str, identity: str, **columns: Any) -> dict[str, Any]:
    """Return a row of a vault's log, in one of its two tables."""
    row = {"TimeGenerated": TEN, "OperationName": "SecretGet", "ResultSignature": "OK"} | columns
    if table == "AZKVAuditLogs":
        return row | {"Identity": {"claim": {LONG_CLAIM: identity, "appid": "a"}}}
    return row | {"ResourceProvider": "MICROSOFT.KEYVAULT", "identity_claim_oid_g": identity}


def test_each_question_has_a_call() -> None:
    """A finding's row names the functions, each with the id and the whole time."""
    assert calls("f-1")[0] == {
        "Title": QUESTIONS[0].title,
        "Query": f'ManagedIdentityActivity("f-1") | {WHOLE_TIME}',
    }
    assert [each["Title"] for each in calls("f-1")] == list(texts())
    assert len(json.dumps(calls("f-1"))) < 700


@pytest.mark.parametrize("identity", ["a\n| take 1", "\u202e", "a\x00"])
def test_an_identity_that_cannot_be_quoted_is_refused(identity: str) -> None:
    """An invisible character in an identity or an address gets into no query."""
    with pytest.raises(ValueError, match="characters"):
        values(identity, TEN, TEN, [])
    with pytest.raises(ValueError, match="characters"):
        values(OURS, TEN, TEN, [identity])


@pytest.mark.parametrize("text", BOTH)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_empty_workspace_gives_no_row(workspace: Any, function: str, text: Any) -> None:
    """With empty tables, and with each table missing, a query is valid and finds nothing."""
    expected = ["f-1"] if function == HISTORY else []
    for table in ("", *READS[function]):
        shown = without(text(function), table) if table else text(function)
        assert [row.get("FindingId") for row in ask(workspace, shown)] == expected, table


def test_the_missing_tables_are_those_that_queries_read() -> None:
    """Each table that a query reads is skipped if it is missing."""
    for function, tables in READS.items():
        text = written(function)
        for table in tables:
            text = without(text, table)
        assert not [table for table in TABLES if table != FINDINGS_TABLE and f" {table}\n" in text]


def test_an_unknown_finding_has_no_rows(workspace: Any) -> None:
    """A function gives no row for an id that no finding has."""
    put(workspace, OPERATIONS, operation(), operation(Caller=""))
    put(workspace, SIGN_INS, sign_in(), sign_in(ServicePrincipalId=""))
    put(workspace, "StorageBlobLogs", request(RequesterObjectId=OURS), request())
    for function in FUNCTIONS:
        assert ask(workspace, deployed(function), "f-2") == []


@pytest.mark.parametrize("text", BOTH)
def test_activity_has_sign_ins_and_operations(workspace: Any, text: Any) -> None:
    """Sign-ins to any service and operations are one row each, oldest first, of the identity."""
    put(workspace, SIGN_INS, sign_in(), sign_in(ServicePrincipalId=OTHER))
    put(workspace, OPERATIONS, *(operation(Caller=caller) for caller in (OURS, OTHER, "")))
    found = ask(workspace, text(ACTIVITY))
    assert [(row["Activity"], row["Outcome"]) for row in found] == [
        ("Sign-in to Azure SQL", "0"),
        ("A/B/WRITE", "Success"),
    ]
    for table, kept in ((SIGN_INS, "A/B/WRITE"), (OPERATIONS, "Sign-in to Azure SQL")):
        rows = ask(workspace, without(text(ACTIVITY), table))
        assert [row["Activity"] for row in rows] == [kept]


@pytest.mark.parametrize("text", BOTH)
def test_activity_is_a_day_around_the_finding(workspace: Any, text: Any) -> None:
    """Events more than a day before the first event or after the last are left out."""
    for number, time in enumerate((TEN - HOUR - DAY, TEN + DAY)):
        beyond = time + (1 if number else -1)
        put(workspace, SIGN_INS, sign_in(TimeGenerated=time), sign_in(TimeGenerated=beyond))
    assert len(ask(workspace, text(ACTIVITY))) == 2


STATUSES = ("Start", "Started", "Accept", "Accepted", "Success", "Failure", "Failed")
EVENTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {
            "TimeGenerated": st.integers(TEN - 9, TEN),
            "ActivityStatusValue": st.sampled_from(STATUSES),
            "CorrelationId": st.sampled_from(["", "c-1", "c-2"]),
            "EventDataId": st.sampled_from(["e-1", "e-2"]),
            "OperationNameValue": st.sampled_from(["A/B/WRITE", "a/b/write", "A/B/DELETE"]),
            "ResourceId": st.sampled_from(["", "/r/2"]),
            "_ResourceId": st.sampled_from(["/r/1", "/R/1"]),
            "Caller": st.sampled_from([OURS, OURS.upper(), OTHER]),
        }
    ),
    max_size=8,
)


@settings(max_examples=settings().max_examples // 10)
@given(EVENTS)
def test_an_operation_is_one_row(reused: Any, rows: list[dict[str, Any]]) -> None:
    """Start, acceptance and end of one operation on one resource are one row with its ends."""
    kusto.fill(reused, OPERATIONS, [])
    put(reused, OPERATIONS, *rows)
    expected: dict[tuple[str, ...], tuple[int, set[str]]] = {}
    for row in rows:
        if row["Caller"] == OTHER:
            continue
        target = row["ResourceId"] or row["_ResourceId"]
        key = row["CorrelationId"] or row["EventDataId"]
        name = (row["OperationNameValue"].lower(), target.lower(), key)
        time, ends = expected.get(name, (row["TimeGenerated"], set()))
        if row["ActivityStatusValue"] not in STATUSES[:4]:
            ends |= {row["ActivityStatusValue"]}
        expected[name] = min(time, row["TimeGenerated"]), ends
    found = ask(reused, written(ACTIVITY))
    assert {
        (row["Activity"].lower(), row["Target"].lower(), row["CorrelationId"]): (
            row["TimeGenerated"],
            row["Outcome"],
        )
        for row in found
    } == {
        name: (time, ", ".join(sorted(ends)) or "Not ended")
        for name, (time, ends) in expected.items()
    }
    assert len(found) == len(expected)


def test_data_access_is_that_of_the_identity(workspace: Any) -> None:
    """Requests of the identity to vaults and storage are shown from each table, any missing."""
    for table in VAULTS:
        for identity in (OURS.upper(), OTHER, ""):
            put(workspace, table, secret_read(table, identity, OperationName=table))
    for table in STORAGE:
        for identity in (OURS, OTHER, ""):
            put(workspace, table, request(OperationName=table, RequesterObjectId=identity))
    for missing in ("", *VAULTS, *STORAGE):
        text = written(ACCESS)
        rows = ask(workspace, without(text, missing) if missing else text)
        assert sorted(row["OperationName"] for row in rows) == sorted(
            table for table in (*VAULTS, *STORAGE) if table != missing
        )
        assert {row["MatchedBy"] for row in rows} == {"identity"}
        assert {row["Principal"].lower() for row in rows} == {OURS}


@pytest.mark.parametrize("text", BOTH)
@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"{ADDRESS}:50123", ADDRESS),
        (ADDRESS, ADDRESS),
        ("203.0.113.7:7", None),
        ("203.0.113.770:1", None),
        ("[2001:db8::1]:443", None),
        ("", None),
    ],
)
def test_data_access_by_address(workspace: Any, text: Any, address: str, shown: str | None) -> None:
    """A request from the finding's address is shown, whoever made it, without the port."""
    put(workspace, "StorageBlobLogs", request(RequesterObjectId=OTHER, CallerIpAddress=address))
    put(workspace, "AZKVAuditLogs", secret_read("AZKVAuditLogs", OTHER, CallerIpAddress=address))
    rows = ask(workspace, text(ACCESS))
    assert [(row["Address"], row["MatchedBy"]) for row in rows] == [(shown, "address")] * (
        2 if shown else 0
    )


def test_an_ipv6_address_matches(workspace: Any) -> None:
    """An IPv6 address is compared without its brackets and its port."""
    for address in ("[2001:db8::1]:443", "2001:db8::1", "[2001:db8::2]:443"):
        put(workspace, "StorageBlobLogs", request(CallerIpAddress=address))
    (row,) = ask(workspace, written(ACCESS, addresses=["2001:db8::1"]))
    assert (row["Address"], row["Requests"]) == ("2001:db8::1", 2)


def test_a_finding_without_an_address_matches_no_address(workspace: Any) -> None:
    """Requests without an address do not match a finding without addresses."""
    put(workspace, "StorageBlobLogs", request(), request(CallerIpAddress=ADDRESS))
    assert ask(workspace, written(ACCESS, addresses=[])) == []


@pytest.mark.parametrize("text", BOTH)
@pytest.mark.parametrize(
    ("name", "kind", "account", "shown"),
    [
        ("LISTKEYS/ACTION", "AccountKey", "stshop", True),
        ("regenerateKey/action", "AccountKey", "stshop", True),
        ("listAccountSas/action", "SAS", "stshop", True),
        ("LISTKEYS/ACTION", "SAS", "STSHOP", True),
        ("LISTKEYS/ACTION", "Anonymous", "stshop", False),
        ("LISTKEYS/ACTION", "AccountKey", "stother", False),
        ("WRITE", "AccountKey", "stshop", False),
    ],
)
def test_data_access_by_key_or_sas(
    workspace: Any, text: Any, name: str, kind: str, account: str, shown: bool
) -> None:
    """Requests with a key or SAS are shown for accounts of which the identity took one."""
    target = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/stshop"
    listed = {"OperationNameValue": f"MICROSOFT.STORAGE/STORAGEACCOUNTS/{name}"}
    put(workspace, OPERATIONS, operation(_ResourceId=target, **listed))
    signed = request(AuthenticationType=kind, AccountName=account, CallerIpAddress="192.0.2.1:9")
    put(workspace, "StorageBlobLogs", signed, signed | {"TimeGenerated": TEN + 1})
    rows = ask(workspace, text(ACCESS))
    assert [(row["MatchedBy"], row["Requests"], row["LastTime"]) for row in rows] == (
        [("key or SAS", 2, TEN + 1)] if shown else []
    )
    for row in rows:
        assert row["Target"] == "https://stshop.blob.core.windows.net:443/c/b"
    assert ask(workspace, without(text(ACCESS), OPERATIONS)) == []


KEY_OPERATIONS = ("LISTKEYS/ACTION", "regenerateKey/action", "LISTSERVICESAS/ACTION")
REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "TimeGenerated": st.sampled_from([TEN - HOUR - DAY - 1, TEN - 1, TEN, TEN + DAY + 1]),
            "RequesterObjectId": st.sampled_from(["", OURS.upper(), OTHER]),
            "CallerIpAddress": st.sampled_from(["", f"{ADDRESS}:1", f"{ADDRESS}:2", "192.0.2.1"]),
            "AuthenticationType": st.sampled_from(["OAuth", "AccountKey", "SAS", "Anonymous"]),
            "AccountName": st.sampled_from(["st1", "ST1", "st2"]),
            "Uri": st.sampled_from(["https://st1/c?sig=XXXXX", "https://st1/c", "https://st1/d"]),
        }
    ),
    max_size=8,
)
TAKEN = st.lists(
    st.tuples(
        st.sampled_from([OURS, OTHER]),
        st.sampled_from([*KEY_OPERATIONS, "WRITE"]),
        st.sampled_from(["ST1", "st2"]),
    ),
    max_size=3,
)


@settings(max_examples=settings().max_examples // 10)
@given(REQUESTS, TAKEN)
def test_requests_match_as_documented(
    reused: Any, rows: list[dict[str, Any]], taken: list[tuple[str, str, str]]
) -> None:
    """Each request of the time is counted once, under the first reason that it meets."""
    kusto.fill(reused, OPERATIONS, [])
    kusto.fill(reused, "StorageTableLogs", [])
    put(reused, "StorageTableLogs", *(request(**row) for row in rows))
    for caller, name, account in taken:
        about = {"OperationNameValue": f"Microsoft.Storage/storageAccounts/{name}"}
        target = f"/subscriptions/s/providers/Microsoft.Storage/storageAccounts/{account}"
        put(reused, OPERATIONS, operation(Caller=caller, ResourceId=target, **about))
    keyed = {each.lower() for by, name, each in taken if by == OURS and name in KEY_OPERATIONS}
    expected = Counter[tuple[str, str]]()
    for row in rows:
        signed = row["AuthenticationType"] in ("AccountKey", "SAS")
        target = row["Uri"].partition("?")[0]
        if not TEN - HOUR - DAY <= row["TimeGenerated"] <= TEN + DAY:
            continue
        if row["RequesterObjectId"].lower() == OURS:
            expected["identity", target] += 1
        elif row["CallerIpAddress"].partition(":")[0] == ADDRESS:
            expected["address", target] += 1
        elif signed and row["AccountName"].lower() in keyed:
            expected["key or SAS", target] += 1
    found = Counter[tuple[str, str]]()
    for each in ask(reused, written(ACCESS)):
        found[each["MatchedBy"], each["Target"]] += each["Requests"]
    assert found == expected


@pytest.mark.parametrize("text", BOTH)
def test_history_shows_related_findings_once(workspace: Any, text: Any) -> None:
    """The identity's findings of any time are shown, and those from its addresses nearby."""
    other = {"ServicePrincipalId": OTHER, "CallerIpAddresses": ["192.0.2.1", ADDRESS]}
    long_ago = {"FirstEvent": TEN - 9 * DAY, "LastEvent": TEN - 9 * DAY}
    put(
        workspace,
        FINDINGS_TABLE,
        FINDING | {"Revision": 2},
        FINDING | long_ago | {"FindingId": "f-0", "ServicePrincipalId": OURS.upper()},
        FINDING | other | {"FindingId": "f-2"},
        FINDING | other | long_ago | {"FindingId": "f-3"},
        FINDING | other | {"FindingId": "f-4", "CallerIpAddresses": ["203.0.113.7"]},
        FINDING | other | {"FindingId": "f-5", "CallerIpAddresses": []},
    )
    found = {row["FindingId"]: row["Relation"] for row in ask(workspace, text(HISTORY))}
    assert found == {"f-0": "same identity", "f-1": "same identity", "f-2": "same address"}
    assert len(ask(workspace, text(HISTORY))) == 3


BODY = {"RoleDefinitionId": f"/providers/x/roleDefinitions/{ROLE}", "PrincipalId": OTHER}
CAMEL = {name[0].lower() + name[1:]: value for name, value in BODY.items()}
# Both spellings of the request's body: Azure-Sentinel #7619, MicrosoftDocs/azure-docs #110528.
BODIES = [
    {"Id": "1", "Properties": BODY},
    {"properties": CAMEL},
    CAMEL,
]


@pytest.mark.parametrize("text", BOTH)
@pytest.mark.parametrize("column", ["Properties", "Properties_d"])
@pytest.mark.parametrize("body", BODIES, ids=["Pascal", "camel", "bare"])
def test_rights_that_the_identity_gave(
    workspace: Any, text: Any, column: str, body: dict[str, Any]
) -> None:
    """A role assignment is one row with role and principal, whatever the spelling of its body."""
    properties = {"requestbody": json.dumps(body)}
    held: Any = json.dumps(properties) if column == "Properties" else properties
    given = {"OperationNameValue": "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE"}
    started = {"ActivityStatusValue": "Start", column: held, "TimeGenerated": TEN - 1}
    put(workspace, OPERATIONS, operation(**given, **started), operation(**given))
    (row,) = ask(workspace, text(RIGHTS))
    assert (row["RoleDefinition"], row["Principal"]) == (ROLE, OTHER)
    assert (row["Relation"], row["Outcome"]) == ("by the identity", "Success")
    assert row["TimeGenerated"] == TEN - 1


@pytest.mark.parametrize("text", BOTH)
def test_rights_that_the_identity_got(workspace: Any, text: Any) -> None:
    """Rights that somebody gave the identity are shown, from 90 days before; others' are not."""
    given = {"OperationNameValue": "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE"}
    early = TEN - HOUR - 91 * DAY
    for number, (principal, time) in enumerate(
        [(OURS, early), (OURS.upper(), early - 1), (OURS.upper(), TEN), (ROLE, TEN)]
    ):
        body = {"Properties": json.dumps({"requestbody": json.dumps({"principalId": principal})})}
        event = {"Caller": "admin@example.com", "CorrelationId": f"c-{number}"}
        put(workspace, OPERATIONS, operation(TimeGenerated=time, **given, **event, **body))
    put(workspace, OPERATIONS, operation(OperationNameValue="A/ROLEASSIGNMENTS2/WRITE"))
    rows = ask(workspace, text(RIGHTS))
    assert [(row["TimeGenerated"], row["Relation"]) for row in rows] == [
        (early, "for the identity"),
        (TEN, "for the identity"),
    ]


def documented(text: str) -> str:
    """Return the query of the triage page that has a text, for our identity."""
    (found,) = [each for each in blocks("docs/triage.md", "kusto") if text in each]
    return found.replace("<ServicePrincipalId>", OURS.upper())


def graph_database(**rows: list[dict[str, Any]]) -> tuple[Any, dict[str, dict[str, str]]]:
    """Return a database with tables of Azure Resource Graph, and their columns."""
    columns = {"id": "VARCHAR", "name": "VARCHAR", "type": "VARCHAR"}
    columns |= {"identity": "JSON", "properties": "JSON"}
    connection = kusto.database(dict.fromkeys(rows, columns))
    for table, each in rows.items():
        for row in each:
            values = [
                json.dumps(row.get(name)) if kind == "JSON" else row.get(name, "")
                for name, kind in columns.items()
            ]
            connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", values)  # noqa: S608
    return connection, dict.fromkeys(rows, columns)


def test_documented_roles_are_those_of_the_identity() -> None:
    """The query on Resource Graph shows the identity's roles by name, and those without a name."""
    assigned = [
        {
            "type": "microsoft.authorization/roleassignments",
            "properties": {
                "principalId": principal,
                "roleDefinitionId": f"/providers/Microsoft.Authorization/RoleDefinitions/{role}",
                "scope": f"/subscriptions/{number}",
            },
        }
        for number, (principal, role) in enumerate(
            [(OURS, ROLE.upper()), (OURS, "x"), (OTHER, ROLE)]
        )
    ]
    defined = {
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": ROLE,
        "properties": {"roleName": "Owner"},
    }
    connection, tables = graph_database(authorizationresources=[*assigned, defined])
    rows = kusto.ask(connection, documented("roledefinitions"), tables)
    assert sorted((row["Role"] or "", row["Scope"]) for row in rows) == [
        ("", "/subscriptions/1"),
        ("Owner", "/subscriptions/0"),
    ]


def test_documented_hosts_may_use_the_identity() -> None:
    """The query on Resource Graph shows resources with the identity, of either kind."""
    held = {"type": "UserAssigned", "userAssignedIdentities": {"/i/1": {"principalId": OURS}}}
    rows: list[dict[str, Any]] = [
        {"id": "/vm/1", "identity": {"type": "SystemAssigned", "principalId": OURS}},
        {"id": "/vm/2", "identity": held},
        {"id": "/vm/3", "identity": {"type": "SystemAssigned", "principalId": OTHER}},
        {"id": "/vm/4"},
    ]
    connection, tables = graph_database(resources=rows)
    found = kusto.ask(connection, documented("resources\n| where tostring(identity)"), tables)
    assert [(row["id"], row["Kind"]) for row in found] == [
        ("/vm/1", "SystemAssigned"),
        ("/vm/2", "UserAssigned"),
    ]


def test_documented_pairs_are_rows() -> None:
    """The pairs of each finding's evidence are rows, and corroborating actions are not."""
    connection = database()
    pair = {"Kind": "Pair", "Operation": "A/WRITE", "ResourceId": "/r/1"}
    evidence = [pair, {"Kind": "Corroboration", "Operation": "A/LISTKEYS/ACTION"}]
    put(connection, FINDINGS_TABLE, FINDING | {"FindingId": "f-2", "Evidence": evidence})
    text = re.sub(r"todatetime\((.*?)\)", r"tostring(\1)", documented("mv-expand"))
    text = text.replace("| where TimeGenerated > ago(1d)\n", "")
    found = ask(connection, text)
    assert [(row["FindingId"], row["Operation"], row["Target"]) for row in found] == [
        ("f-2", "A/WRITE", "/r/1")
    ]


def test_functions_bind(language_service: LanguageService) -> None:
    """Each function and each whole query binds, with each table missing, to typed columns."""
    kinds = {"BIGINT": "long", "JSON": "dynamic", "VARCHAR": "string"}
    tables = {
        table: [
            {
                "name": name,
                "type": "datetime"
                if name == "TimeGenerated" or name.endswith("Event")
                else kinds[kind],
            }
            for name, kind in columns.items()
        ]
        for table, columns in TABLES.items()
    }
    impact = (QUERIES / "ManagedIdentityImpact.kql").read_text("utf-8")
    head = f"let ManagedIdentityImpact = () {{\n{impact}\n}};\n"
    for function in FUNCTIONS:
        call = f'\n}};\n{function}("f-1") | {WHOLE_TIME}'
        bodies = [deployed(function)]
        bodies += [without(bodies[0], table) for table in READS[function]]
        asked = [
            *(f"{head}let {function} = (FindingId: string) {{\n{body}{call}" for body in bodies),
            head + written(function),
        ]
        answers = language_service.bind(asked, tables=tables)
        assert [answer["diagnostics"] for answer in answers] == [[]] * len(asked)
        assert len({json.dumps(sorted(map(str, answer["columns"]))) for answer in answers}) == 1
