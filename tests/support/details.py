"""Random log rows with the columns that tell more of an identity, and a naive reading of them.

The naive reading imports nothing from the package: each detail is one loop over the rows.
"""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.support.strategies import END, HOUR, START, written

Row = dict[str, Any]

TENANT = "8e60610a-eceb-4ee7-8812-f555a3c653d0"
TENANT_CLAIM = "http://schemas.microsoft.com/identity/claims/tenantid"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SUBSCRIPTION = "/subscriptions/3baa586e-f753-4231-9584-adf5f0eedd8f"
HOST = f"{SUBSCRIPTION}/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/vm"
IDENTITY_PROVIDER = "providers/Microsoft.ManagedIdentity"
OWN = f"{SUBSCRIPTION}/resourcegroups/rg/{IDENTITY_PROVIDER}/userAssignedIdentities/id"
GROUP_SCOPE = f"{SUBSCRIPTION}/resourceGroups/rg"
ASSIGNMENT = f"{GROUP_SCOPE}/providers/Microsoft.Authorization/roleAssignments/1"


def request_body(*, pascal: bool = False, wrapped: bool = True, **properties: str) -> str:
    """Return the request of a role assignment as text, in one of its spellings.

    github.com/Azure/Azure-Sentinel/pull/7619 reads both: PascalCase beside an `Id`, and camelCase.
    """
    names = {name[0].upper() + name[1:] if pascal else name: v for name, v in properties.items()}
    wrapper = "Properties" if pascal else "properties"
    identified = {"Id": "7d2a"} if pascal else {}
    return json.dumps(identified | ({wrapper: names} if wrapped else names))


BODIES = (
    request_body(principalId="p-1", roleDefinitionId=f"/x/roleDefinitions/{OWNER}"),
    request_body(
        pascal=True, principalId="p-2", roleDefinitionId=OWNER.replace("-", ""), scope=GROUP_SCOPE
    ),
    request_body(wrapped=False, principalId="p-3", principalType="User", roleDefinitionId="r"),
    "not JSON",
    "",
)
TIMES = st.integers(START - 2, END + 2) | st.sampled_from((START, START + 1, END - HOUR, END))
IDENTITIES = ("id-1", "ID-1", "id-2", "id-3", "")


def _cells(name: str, values: Sequence[object]) -> st.SearchStrategy[Row]:
    """Draw the column with JSON as text, the one with an object, both or neither."""
    objects = st.sampled_from(values)
    texts = st.sampled_from((*map(json.dumps, values), "", "{broken", "7", "[1]"))
    return st.fixed_dictionaries({}, optional={name: texts, f"{name}_d": objects})


@st.composite
def operations(draw: st.DrawFn) -> Row:
    """Draw an operation."""
    claims: list[object] = [
        {"uti": token, **where, TENANT_CLAIM: TENANT}
        for token in ("t1", "t2")
        for where in ({"xms_mirid": HOST}, {"xms_mirid": OWN, "xms_az_rid": HOST}, {})
    ]
    rights: list[object] = [
        {"action": "a", "evidence": {"role": role, "roleAssignmentScope": SUBSCRIPTION}}
        for role in ("Owner", "owner", "Reader")
    ]
    properties: list[object] = [{"requestbody": body} for body in BODIES]
    names = ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "a/write", "A/Write", "a/x/action")
    row: Row = {
        "TimeGenerated": written(draw(TIMES)),
        "Caller": draw(st.sampled_from(IDENTITIES)),
        "OperationNameValue": draw(st.sampled_from(names)),
        "ActivityStatusValue": draw(st.sampled_from(("Success", "Start", "Failure", "failed"))),
        "ResourceGroup": draw(st.sampled_from(("rg", "RG", ""))),
        "CallerIpAddress": draw(st.sampled_from(("192.0.2.1", "192.0.2.2", "2001:DB8::1", ""))),
        "ResourceId": draw(st.sampled_from((ASSIGNMENT, ASSIGNMENT.upper(), "", "/r"))),
        "_ResourceId": draw(st.sampled_from(("", "/R/own"))),
        "EventDataId": draw(st.sampled_from(("e1", "e2", ""))),
        "CorrelationId": draw(st.sampled_from(("c1", "c2", "", "0000"))),
    }
    for name, values in (("Claims", claims), ("Authorization", rights), ("Properties", properties)):
        row |= draw(_cells(name, values))
    return row


@st.composite
def sign_ins(draw: st.DrawFn) -> Row:
    """Draw a sign-in. The keys are those of managedIdentity in Microsoft Graph's reference."""
    described = [
        json.dumps({"msiType": kind, "associatedResourceId": where, "federatedTokenId": ""})
        for kind in ("systemAssigned", "UserAssigned", "none")
        for where in (HOST, OWN)
    ]
    return {
        "TimeGenerated": written(draw(TIMES)),
        "ServicePrincipalId": draw(st.sampled_from(IDENTITIES)),
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "AADTenantId": draw(st.sampled_from((TENANT, ""))),
        "ManagedServiceIdentity": draw(st.sampled_from((*described, "", "null", "{broken"))),
    }


def read_json(row: Row, name: str) -> dict[str, Any]:
    """Return the object of a column, or of the one with text."""
    value = row.get(f"{name}_d") or row.get(name) or ""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def naive_token_uses(rows: Sequence[Row]) -> set[tuple[str, str, str]]:
    """Return token, time and address of each use of a token that several addresses used."""
    uses = {
        (token, row["TimeGenerated"], row["CallerIpAddress"].lower())
        for row in rows
        if (token := read_json(row, "Claims").get("uti")) and row["CallerIpAddress"]
    }
    return {use for use in uses if any(o[0] == use[0] and o[2] != use[2] for o in uses)}


def naive_failures(rows: Sequence[Row]) -> int:
    """Return the number of failed attempts."""
    return len(
        {
            (
                row["CorrelationId"] if row["CorrelationId"].strip("0") else row["EventDataId"],
                row["OperationNameValue"].lower(),
                (row["ResourceId"] or row["_ResourceId"]).lower(),
            )
            for row in rows
            if row["ActivityStatusValue"].lower() in {"failure", "failed"}
        }
    )


def naive_roles(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Return the roles used and their scopes, in lower case."""
    found = set()
    for row in rows:
        evidence = read_json(row, "Authorization").get("evidence", {})
        if evidence.get("role"):
            found.add((evidence["role"].lower(), evidence["roleAssignmentScope"].lower()))
    return found


def naive_grants(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Return correlation and resource (in lower case) of each role assignment that succeeded."""
    return {
        (row["CorrelationId"], (row["ResourceId"] or row["_ResourceId"]).lower())
        for row in rows
        if row["OperationNameValue"].lower() == "microsoft.authorization/roleassignments/write"
        and row["ActivityStatusValue"] == "Success"
    }
