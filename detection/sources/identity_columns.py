"""The optional columns of both log tables that tell more of an identity, decoded to detail rows.

`Claims`, `Authorization` and `Properties` of AzureActivity hold JSON as text; the columns with the
same names and `_d` hold it as an object, and a workspace may have either (the table's reference in
MicrosoftDocs/azure-reference-other). kql/identity_details.kql reads them in the same way.

- `Claims` are those of the token. `xms_mirid` is the identity's own resource, which for a
  system-assigned identity is its host, and `xms_az_rid` the resource that asked for the token
  (the comments on both claims in lib/auth/join of gravitational/teleport).
- `Authorization.evidence` has the role that allowed the operation.
- `Properties.requestbody` of a role assignment's first row has the request as text, in two
  spellings: {"Id", "Properties": {"PrincipalId"}} and {"properties": {"principalId"}}
  (github.com/Azure/Azure-Sentinel/pull/7619, github.com/MicrosoftDocs/azure-docs/issues/110528),
  or without "properties".
- `ManagedServiceIdentity` of a sign-in has `msiType` and `associatedResourceId` (managedIdentity in
  the reference of Microsoft Graph).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from detection.ranking.identity_details import SYSTEM_ASSIGNED, USER_ASSIGNED, DetailRow
from detection.ranking.roles import role_id
from detection.rule.filters import FAILURE_STATUSES, ROLE_ASSIGNMENT_WRITE
from detection.rule.kql_text import ascii_lower, is_blank
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, TableShape, is_nil_id

TENANT_CLAIM: Final = "http://schemas.microsoft.com/identity/claims/tenantid"
NESTED: Final = 3  # JSON as text inside JSON as text: the deepest that was seen is two
_TYPES: Final = {ascii_lower(each): each for each in (SYSTEM_ASSIGNED, USER_ASSIGNED)}
_OWN_RESOURCE: Final = "/userassignedidentities/"
_FAILED: Final = frozenset(map(ascii_lower, FAILURE_STATUSES))
_ASSIGNMENT: Final = ascii_lower(ROLE_ASSIGNMENT_WRITE)

# The detail rows of a recording that was taken from a workspace.
DETAILS_TABLE: Final = TableShape(
    name="IdentityDetails",
    columns=(
        *("TimeGenerated", "Identity", "TenantId", "IdentityType", "IdentityResourceId"),
        *("HostResourceId", "Role", "RoleScope", "Token", "Address", "Status", "ResourceGroup"),
        *("ResourceId", "RoleDefinitionId", "PrincipalId", "PrincipalType", "Scope"),
        *("CorrelationId", "Failed"),
    ),
    required=2,
    shared=9,
    remedy="",
)
# The answer of kql/identity_details.kql: the request of a role assignment is one text.
ANSWER: Final = OPERATION_TABLE._replace(
    columns=(*DETAILS_TABLE.columns[:13], "RequestBody", "CorrelationId", "Failed"), shared=9
)
SIGN_IN_COLUMNS: Final = SIGN_IN_TABLE._replace(
    columns=("TimeGenerated", "ServicePrincipalId", "AADTenantId", "ManagedServiceIdentity"),
    required=2,
    shared=4,
)
OPERATION_COLUMNS: Final = OPERATION_TABLE._replace(
    columns=(
        *("TimeGenerated", "Caller", "OperationNameValue", "ActivityStatusValue"),
        *("ResourceGroup", "CallerIpAddress", "Claims", "Claims_d"),
        *("Authorization", "Authorization_d", "Properties", "Properties_d"),
        *("ResourceId", "_ResourceId", "EventDataId", "CorrelationId"),
    ),
    shared=8,
)


def rows_of_answer(answer: Iterable[Sequence[Any]]) -> Iterator[DetailRow]:
    """Yield the detail rows in an answer to the query, given in the order of ANSWER's columns."""
    for row in answer:
        time, identity, tenant, kind, resource, host, *others, body, correlation_id, failed = row
        where = residence(kind, resource, host)
        grant = granted(body)
        yield DetailRow._make(
            (time, ascii_lower(identity), tenant, *where, *others, *grant, correlation_id, failed)
        )


def rows_of_logs(
    sign_ins: Iterable[Sequence[Any]], operations: Iterable[Sequence[Any]]
) -> Iterator[DetailRow]:
    """Yield the detail rows of log rows, in the order of SIGN_IN_COLUMNS and OPERATION_COLUMNS."""
    for time, identity, tenant, described in sign_ins:
        if not (tenant or described):
            continue
        value = _object(described)
        where = residence(_text(value, "msiType"), _text(value, "associatedResourceId"), "")
        yield DetailRow(time, ascii_lower(identity), tenant, *where)
    failed: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)
    latest = 0
    for row in operations:
        time, caller, name, status, group, address, *described, given, other, event, correlation = (
            row
        )
        is_assignment, has_failed = _is_assignment(name), _has_failed(status)
        if not (is_assignment or has_failed or any(described)):
            continue  # most rows of a log without the optional columns
        identity = ascii_lower(caller)
        claims, right, properties = (
            _object(each or text)
            for text, each in zip(described[::2], described[1::2], strict=True)
        )
        resource_id = other if is_blank(given) else given
        evidence = _object(right.get("evidence"))
        yield DetailRow(
            time,
            identity,
            _text(claims, TENANT_CLAIM),
            *residence("", _text(claims, "xms_mirid"), _text(claims, "xms_az_rid")),
            role=_text(evidence, "role"),
            role_scope=_text(evidence, "roleAssignmentScope"),
            resource_group=ascii_lower(group),
        )
        if address and (token := _text(claims, "uti")):
            yield DetailRow(time, identity, token=token, address=ascii_lower(address))
        if is_assignment:
            request = granted(_text(properties, "requestbody"))
            assignment = (status, group, resource_id, *request, correlation)
            yield DetailRow(time, identity, *("",) * 8, *assignment)
        if has_failed:
            attempt = event if is_nil_id(correlation) else correlation
            failed[identity].add((attempt, ascii_lower(name), ascii_lower(resource_id)))
            latest = max(latest, time)
    for identity, attempts in failed.items():
        yield DetailRow(latest, identity, failed=str(len(attempts)))


@lru_cache(1000)
def _is_assignment(name: str) -> bool:
    return ascii_lower(name) == _ASSIGNMENT


@lru_cache(1000)
def _has_failed(status: str) -> bool:
    return ascii_lower(status) in _FAILED


def residence(kind: str, resource: str, host: str) -> tuple[str, str, str]:
    """Return the type, the own resource and the host of an identity, each "" if it is unknown.

    `resource` may be that of the identity or of its host: its own kind of resource tells.
    """
    is_own = _OWN_RESOURCE in ascii_lower(resource)
    known = _TYPES.get(ascii_lower(kind), "")
    if not known and resource:
        known = USER_ASSIGNED if is_own else SYSTEM_ASSIGNED
    if known == USER_ASSIGNED and not is_own:
        return known, "", host or resource
    return known, resource, host or ("" if is_own else resource)


def granted(body: str) -> tuple[str, str, str, str]:
    """Return role definition, principal, its type and the scope of a role assignment's request."""
    request = _folded(_object(body))
    properties = _folded(_object(request.get("properties"))) or request
    definition, *others = (
        _text(properties, name)
        for name in ("roledefinitionid", "principalid", "principaltype", "scope")
    )
    principal, kind, scope = others
    return role_id(definition), principal, kind, scope


def _folded(value: Mapping[str, Any]) -> dict[str, Any]:
    return {ascii_lower(name): each for name, each in value.items()}


def _object(value: object) -> Mapping[str, Any]:
    """Return an object, given as such or as text; without members if it is none."""
    for _ in range(NESTED):
        if not isinstance(value, str):
            break
        value = _parsed(value)
    return value if isinstance(value, dict) else {}


@lru_cache(1000)
def _parsed(text: str) -> object:
    """Return the value of JSON text, None if it is none; equal claims are parsed once."""
    try:
        return orjson.loads(text) if text[:1] in {"{", '"'} else None
    except ValueError:
        return None


def _text(value: Mapping[str, Any], name: str) -> str:
    """Return a member that is a text, else ""."""
    found = value.get(name)
    return found if isinstance(found, str) else ""
