"""The entities of a finding, as Microsoft Sentinel maps them."""

from detection.ranking.identity_details import IdentityDetails
from detection.rule.correlate import Group, first_spellings
from detection.rule.kql_text import is_blank


def sentinel_entities(group: Group, details: IdentityDetails) -> list[dict[str, str]]:
    """Return a finding's account, its host, its other resources and its addresses.

    The fields are those of Sentinel's entity types account, azure-resource and ip; a blank value
    makes none.
    """
    account = {
        "AadUserId": group.service_principal_id,
        "AadTenantId": details.tenant_id,
        "Name": group.service_principal_name,
    }
    found = [
        {"$id": "1", "Type": "account"} | {k: v for k, v in account.items() if not is_blank(v)}
    ]
    resources = [details.host_resource_id, *group.affected_resources]
    for type_, key, values in (
        ("azure-resource", "ResourceId", first_spellings(resources, len(resources))),
        ("ip", "Address", group.caller_addresses),
    ):
        for value in values:
            if not is_blank(value):
                found.append({"$id": str(len(found) + 1), "Type": type_, key: value})
    return found
