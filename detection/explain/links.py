"""Links to the pages of the Azure portal that a responder opens first.

The address of a resource's page is that of createPortalUrl in microsoft/vscode-azuretools. The one
of an enterprise application is in many public tools, without the application's id too.
"""

from collections.abc import Iterator
from urllib.parse import quote

from detection.ranking.identity_details import IdentityDetails
from detection.rule.correlate import Group
from detection.rule.kql_text import is_blank

_APPLICATION = "#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId"


def portal_links(group: Group, details: IdentityDetails, portal: str) -> list[dict[str, str]]:
    """Return links, each as Title and Url, to the portal at the address `portal`.

    The identity comes first, then its host if that is another resource, then for each subscription
    the resource group and the activity log.
    """
    return [{"Title": title, "Url": f"{portal}/{path}"} for title, path in _paths(group, details)]


def _paths(group: Group, details: IdentityDetails) -> Iterator[tuple[str, str]]:
    page = f"#@{quote(details.tenant_id)}/resource" if details.tenant_id else "#resource"
    yield "The enterprise application", f"{_APPLICATION}/{quote(group.service_principal_id, '')}"
    if details.identity_resource_id:
        yield "The identity's resource", page + quote(details.identity_resource_id)
    if details.host_resource_id not in {"", details.identity_resource_id}:
        yield "The resource that uses it", page + quote(details.host_resource_id)
    for subscription in group.subscription_ids:
        if is_blank(subscription):
            continue
        path = f"{page}/subscriptions/{quote(subscription, '')}"
        if not is_blank(group.resource_group):
            name = f"Resource group {group.resource_group}"
            yield name, f"{path}/resourceGroups/{quote(group.resource_group, '')}"
        yield f"Activity log of subscription {subscription}", f"{path}/eventlogs"
