"""Title, description, links and entities of findings, with and without details."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.clouds import CLOUDS, PUBLIC
from detection.explain import Explanation, explain
from detection.pipeline.revision_summary import IdentityContext, revision_summary
from detection.ranking.evidence import evidence_items
from detection.ranking.identity_details import (
    NO_DETAILS,
    SYSTEM_ASSIGNED,
    USER_ASSIGNED,
    Grant,
    IdentityDetails,
    RoleUse,
)
from detection.ranking.summary import GRANTS_KEPT
from detection.rule.correlate import Group, detect
from detection.rule.filters import RuleSettings
from tests.support.details import ASSIGNMENT, HOST, OWN, OWNER, SUBSCRIPTION, TENANT
from tests.support.strategies import (
    END,
    GUID,
    HOUR,
    START,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
)

GRANT = Grant(START, ASSIGNMENT, "rg", "Owner", OWNER, "p-1", "ServicePrincipal", SUBSCRIPTION, "c")
DETAILS = IdentityDetails(
    tenant_id=TENANT,
    identity_type=USER_ASSIGNED,
    identity_resource_id=OWN,
    host_resource_id=HOST,
    roles_used=(RoleUse("Contributor", SUBSCRIPTION),),
    grants=(GRANT,),
    failed_operations=1,
)
ROLE, VAULT = "Microsoft.Authorization/roleAssignments/write", "Microsoft.KeyVault/vaults/delete"


def group_of(*names: str, **fields: str) -> Group:
    """Return the group of one sign-in and operations with these names."""
    rows = [
        operation(OperationNameValue=name, EventDataId=f"e{number}", **fields)
        for number, name in enumerate(names)
    ]
    (group,) = detect(as_logs([sign_in()], rows), START, END, RuleSettings()).groups
    return group


def explained(
    group: Group, details: IdentityDetails = NO_DETAILS, portal: str = PUBLIC.portal
) -> Explanation:
    """Return the explanation of a group's finding."""
    pairs = group.read_pairs({})
    summary = revision_summary(group, group.operations_at, pairs, IdentityContext(), HOUR)
    return explain(group, evidence_items(summary), details, portal)


def test_a_title_names_the_identity_the_gravest_deed_and_the_place() -> None:
    """Without details the title tells the gravest operation and counts the others."""
    shown = explained(group_of("Microsoft.Web/sites/write", VAULT, ResourceGroup="rg-a")).title
    assert shown == "app deleted a key vault and made 1 other change in resource group rg-a"
    assert explained(group_of(VAULT, ResourceGroup="rg-a")).title.endswith(
        "deleted a key vault in resource group rg-a"
    )


def test_a_title_tells_which_role_was_given() -> None:
    """A grant that is the gravest thing is named with role, scope and principal."""
    shown = explained(group_of(ROLE, ResourceGroup="RG"), DETAILS).title
    subscription = SUBSCRIPTION.rpartition("/")[2]
    assert shown == f"app gave Owner at subscription {subscription} to the service principal p-1"
    assert "deleted a key vault" in explained(group_of(ROLE, VAULT, ResourceGroup="rg")).title


def test_a_description_tells_what_is_known() -> None:
    """Counts, times, services, grants, failures, host and rights are in plain sentences."""
    shown = explained(group_of(ROLE, VAULT, ResourceGroup="rg"), DETAILS).description
    for part in (
        f"The user-assigned managed identity app ({GUID}) signed in to Azure Key Vault once",
        "first at 2026-03-02 ",
        "made 2 successful changes in resource group rg",
        "it deleted a key vault (Microsoft.KeyVault/vaults/delete); it assigned a role",
        "It gave Owner at subscription ",
        "1 other attempt of the identity failed.",
        f"It is used by {HOST}.",
        "It acted as Contributor at subscription ",
    ):
        assert part in shown
    bare = explained(group_of(VAULT, ResourceGroup="")).description
    assert bare.startswith("The managed identity app")
    assert not [word for word in ("gave", "failed", "used by", "acted as") if word in bare]


@given(scenarios())
def test_every_finding_is_explained_in_lines(scenario: Scenario) -> None:
    """Title and description of any finding are one line each, of a length that can be read."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        found = explained(group)
        for text, most in ((found.title, 400), (found.description, 3000)):
            assert text
            assert text == " ".join(text.split())
            assert len(text) <= most
        assert [each["$id"] for each in found.entities] == [
            str(n + 1) for n in range(len(found.entities))
        ]


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=lambda cloud: str(cloud.name))
def test_links_lead_to_the_portal_of_the_cloud(cloud: Any) -> None:
    """The identity, its host, the resource group and the activity log have links."""
    group = group_of(VAULT, ResourceGroup="rg a", SubscriptionId="s")
    links = {each["Title"]: each["Url"] for each in explained(group, DETAILS, cloud.portal).links}
    assert all(url.startswith(f"{cloud.portal}/#") for url in links.values())
    assert links["The enterprise application"].endswith(f"/Overview/objectId/{GUID}")
    assert links["The identity's resource"].endswith(f"#@{TENANT}/resource{OWN}")
    assert links["The resource that uses it"].endswith(HOST)
    page = f"#@{TENANT}/resource/subscriptions/s"
    assert links["Resource group rg a"].endswith(f"{page}/resourceGroups/rg%20a")
    assert links["Activity log of subscription s"].endswith(f"{page}/eventlogs")


@given(st.text(min_size=1))
def test_no_name_gets_out_of_its_place_in_a_link(name: str) -> None:
    """A name with slashes, question marks or other signs stays one part of the path."""
    for link in explained(group_of(VAULT, ResourceGroup=name, SubscriptionId="s/../t")).links:
        parts = urlsplit(link["Url"])
        assert (parts.scheme, parts.netloc, parts.query) == ("https", "portal.azure.com", "")
        assert link["Url"].isascii()
        if link["Title"].startswith("Resource group"):
            assert unquote(link["Url"].rpartition("/")[2]) == name


def test_links_and_entities_need_no_details() -> None:
    """Without details there are the application, the resource group and the activity log."""
    found = explained(group_of(VAULT, ResourceGroup="rg", SubscriptionId="s"))
    assert [each["Title"].split()[0] for each in found.links] == ["The", "Resource", "Activity"]
    assert "#resource/subscriptions/s" in found.links[1]["Url"]


def test_entities_are_as_sentinel_maps_them() -> None:
    """The account has id, tenant and name; the host comes first; a blank value makes no entity."""
    group = group_of(VAULT, VAULT, ResourceId="/r/1", CallerIpAddress="203.0.113.7")
    account = {"$id": "1", "Type": "account", "AadUserId": GUID}
    resource = {"Type": "azure-resource", "ResourceId": "/r/1"}
    address = {"Type": "ip", "Address": "203.0.113.7"}
    named = {"Name": "app"}
    assert explained(group).entities == [
        account | named,
        {"$id": "2"} | resource,
        {"$id": "3"} | address,
    ]
    assert explained(group, DETAILS).entities == [
        account | {"AadTenantId": TENANT} | named,
        {"$id": "2", "Type": "azure-resource", "ResourceId": HOST},
        {"$id": "3"} | resource,
        {"$id": "4"} | address,
    ]
    again = DETAILS._replace(host_resource_id="/R/1")
    assert len(explained(group, again).entities) == 3


def test_a_row_has_the_details_in_plain_objects() -> None:
    """Grants of the resource group, roles, type, host and failures have their columns."""
    found = explained(group_of(VAULT, ResourceGroup="rg"), DETAILS)
    assert (found.identity_type, found.failed_operations) == (USER_ASSIGNED, 1)
    assert found.roles_used == [{"Role": "Contributor", "Scope": SUBSCRIPTION}]
    (grant,) = found.grants
    assert (grant["Role"], grant["Privileged"], grant["Scope"]) == ("Owner", True, SUBSCRIPTION)
    assert explained(group_of(VAULT, ResourceGroup="other"), DETAILS).grants == []
    many = DETAILS._replace(grants=(GRANT,) * (GRANTS_KEPT + 1), identity_type=SYSTEM_ASSIGNED)
    crowded = explained(group_of(VAULT, ResourceGroup="rg"), many)
    assert len(crowded.grants) == GRANTS_KEPT
    assert "It assigned 48 further roles." in crowded.description
