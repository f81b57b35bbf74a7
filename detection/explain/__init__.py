"""Explains a finding to a responder: title, description, portal links and Sentinel's entities."""

from typing import Any, NamedTuple

from detection.explain.entities import sentinel_entities
from detection.explain.links import portal_links
from detection.explain.wording import Evidence, description, title
from detection.ranking.identity_details import IdentityDetails
from detection.ranking.summary import GRANTS_KEPT
from detection.rule.correlate import Group
from detection.rule.ticks import format_time

ROLES_SHOWN = 10


class Explanation(NamedTuple):
    """The texts, the links and the details of a finding, in the form of its row."""

    title: str
    description: str
    entities: list[dict[str, str]]
    links: list[dict[str, str]]
    identity_type: str
    identity_resource_id: str
    host_resource_id: str
    roles_used: list[dict[str, str]]
    grants: list[dict[str, Any]]
    failed_operations: int


def explain(group: Group, evidence: Evidence, details: IdentityDetails, portal: str) -> Explanation:
    """Return the explanation of a group's finding.

    `evidence` is that of its row, `details` are those of its identity, and `portal` is the address
    of the Azure portal.
    """
    grants = details.grants_in(group.key.resource_group)
    return Explanation(
        title=title(group, evidence, details),
        description=description(group, evidence, details),
        entities=sentinel_entities(group, details),
        links=portal_links(group, details, portal),
        identity_type=details.identity_type,
        identity_resource_id=details.identity_resource_id,
        host_resource_id=details.host_resource_id,
        roles_used=[
            {"Role": role, "Scope": scope} for role, scope in details.roles()[:ROLES_SHOWN]
        ],
        grants=[
            {
                "Time": format_time(grant.time),
                "Role": grant.role,
                "RoleDefinitionId": grant.role_definition_id,
                "Privileged": grant.is_privileged,
                "PrincipalId": grant.principal_id,
                "PrincipalType": grant.principal_type,
                "Scope": grant.scope,
                "CorrelationId": grant.correlation_id,
            }
            for grant in grants[:GRANTS_KEPT]
        ],
        failed_operations=details.failed_operations,
    )
