"""The details of an identity in one window: where it lives, which rights it used, what it gave.

They come from columns of both log tables that are optional, so any of them may be missing. Rows
are of two kinds of sources, a query that sums up in the workspace and a recorded folder, and give
the same details.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from detection.ranking.roles import is_privileged, role_name
from detection.rule.kql_text import ascii_lower

ROLE_ASSIGNMENTS: Final = "/providers/microsoft.authorization/roleassignments/"
_COUNT: Final = re.compile("[0-9]{1,9}", re.ASCII)
SYSTEM_ASSIGNED, USER_ASSIGNED = "SystemAssigned", "UserAssigned"


class DetailRow(NamedTuple):
    """A part of an identity's details; "" stands for everything that it does not tell.

    `time` is in ticks, `identity` in ASCII lower case. A role assignment has the columns from
    `status` to `correlation_id`, and a use of a role has `resource_group`, in ASCII lower case. The
    request that names role and principal is often another row than the success. `failed` is the
    number of failed attempts.
    """

    time: int
    identity: str
    tenant_id: str = ""
    identity_type: str = ""
    identity_resource_id: str = ""
    host_resource_id: str = ""
    role: str = ""
    role_scope: str = ""
    token: str = ""
    address: str = ""
    status: str = ""
    resource_group: str = ""
    resource_id: str = ""
    role_definition_id: str = ""
    principal_id: str = ""
    principal_type: str = ""
    scope: str = ""
    correlation_id: str = ""
    failed: str = ""


class Grant(NamedTuple):
    """A role that the identity assigned, at `time` (ticks).

    `resource_id` is that of the assignment, in `resource_group` ("" above resource groups). `role`
    is the name of a built-in role, else "". Only `scope` is certain to be known.
    """

    time: int
    resource_id: str
    resource_group: str
    role: str
    role_definition_id: str
    principal_id: str
    principal_type: str
    scope: str
    correlation_id: str

    @property
    def is_privileged(self) -> bool:
        """True if the role is known to give rights or to read secrets or data."""
        return is_privileged(self.role_definition_id)


class RoleUse(NamedTuple):
    """A role with which the identity acted in a resource group (in ASCII lower case).

    `scope` is that at which the role was assigned.
    """

    role: str
    scope: str
    resource_group: str = ""


class TokenUse(NamedTuple):
    """A use of a token at `time` (ticks), from an address in ASCII lower case."""

    token: str
    time: int
    address: str


class IdentityDetails(NamedTuple):
    """The details of one identity; a text is "" if it is not known.

    `identity_type` is SYSTEM_ASSIGNED or USER_ASSIGNED. `identity_resource_id` is the identity's
    own resource: for a system-assigned one its host. `host_resource_id` is the first resource that
    used the identity. `grants` and `token_uses` are in order of time; `token_uses` has all uses of
    those tokens that more than one address used.
    """

    tenant_id: str = ""
    identity_type: str = ""
    identity_resource_id: str = ""
    host_resource_id: str = ""
    roles_used: tuple[RoleUse, ...] = ()
    grants: tuple[Grant, ...] = ()
    token_uses: tuple[TokenUse, ...] = ()
    failed_operations: int = 0

    def roles(self) -> list[tuple[str, str]]:
        """Return each role with which the identity acted and its scope, whatever it changed."""
        return list(dict.fromkeys((each.role, each.scope) for each in self.roles_used))

    def grants_in(self, resource_group: str) -> tuple[Grant, ...]:
        """Return the grants in a resource group (in ASCII lower case), as findings are grouped."""
        return tuple(
            each for each in self.grants if ascii_lower(each.resource_group) == resource_group
        )


NO_DETAILS: Final = IdentityDetails()


def details_by_identity(
    rows: Iterable[DetailRow], success_statuses: Iterable[str]
) -> dict[str, IdentityDetails]:
    """Return the details of each identity in the rows, which may be in any order and repeated."""
    accepted = frozenset(map(ascii_lower, success_statuses))
    by_identity: defaultdict[str, list[DetailRow]] = defaultdict(list)
    for row in sorted(set(rows)):
        by_identity[row.identity].append(row)
    return {identity: _details(mine, accepted) for identity, mine in by_identity.items()}


def _details(rows: Sequence[DetailRow], accepted: frozenset[str]) -> IdentityDetails:
    """Return the details of one identity, given its rows in order."""
    roles = (RoleUse(row.role, row.role_scope, row.resource_group) for row in rows if row.role)
    return IdentityDetails(
        tenant_id=next((row.tenant_id for row in rows if row.tenant_id), ""),
        identity_type=next((row.identity_type for row in rows if row.identity_type), ""),
        identity_resource_id=next(
            (row.identity_resource_id for row in rows if row.identity_resource_id), ""
        ),
        host_resource_id=next((row.host_resource_id for row in rows if row.host_resource_id), ""),
        roles_used=_distinct(roles),
        grants=_grants(rows, accepted),
        token_uses=_reused(rows),
        failed_operations=sum(int(row.failed) for row in rows if _COUNT.fullmatch(row.failed)),
    )


def _distinct(roles: Iterable[RoleUse]) -> tuple[RoleUse, ...]:
    """Return each role, scope and resource group once, in the spelling of the first use."""
    found: dict[tuple[str, ...], RoleUse] = {}
    for each in roles:
        found.setdefault(tuple(map(ascii_lower, each)), each)
    return tuple(found.values())


def _reused(rows: Iterable[DetailRow]) -> tuple[TokenUse, ...]:
    """Return the uses of tokens that more than one address used."""
    addresses: defaultdict[str, set[str]] = defaultdict(set)
    uses = {TokenUse(row.token, row.time, row.address): None for row in rows if row.token}
    for use in uses:
        addresses[use.token].add(use.address)
    return tuple(use for use in uses if len(addresses[use.token]) > 1)


def _grants(rows: Iterable[DetailRow], accepted: frozenset[str]) -> tuple[Grant, ...]:
    """Return the role assignments that succeeded, each once, with what their requests name."""
    attempts: defaultdict[tuple[str, str], list[DetailRow]] = defaultdict(list)
    for row in rows:
        if row.status:
            attempts[row.correlation_id, ascii_lower(row.resource_id)].append(row)
    grants = []
    for mine in attempts.values():
        done = next((row for row in mine if ascii_lower(row.status) in accepted), None)
        if done is not None:
            request = next((row for row in mine if row.principal_id), done)
            grants.append(_grant(done, request))
    return tuple(sorted(grants))


def _grant(done: DetailRow, request: DetailRow) -> Grant:
    return Grant(
        time=done.time,
        resource_id=done.resource_id,
        resource_group=done.resource_group,
        role=role_name(request.role_definition_id),
        role_definition_id=request.role_definition_id,
        principal_id=request.principal_id,
        principal_type=request.principal_type,
        scope=request.scope or _scope_of(done.resource_id),
        correlation_id=done.correlation_id,
    )


def _scope_of(assignment: str) -> str:
    """Return the scope in the resource id of a role assignment; "" if it is another resource."""
    place = ascii_lower(assignment).rfind(ROLE_ASSIGNMENTS)
    return (assignment[:place] or "/") if place >= 0 else ""
