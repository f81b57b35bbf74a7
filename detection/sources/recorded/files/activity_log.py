"""Turns the logs' forms outside of a workspace into rows of the workspace's tables.

- Events of the Activity Log, as the REST API returns them and `az monitor activity-log list` prints
  them (learn.microsoft.com/azure/azure-monitor/essentials/activity-log-schema).
- Records that a diagnostic setting writes to a storage account or an event hub: the Activity Log
  (the last section of that page) and sign-ins of managed identities (shown by the tests of
  elastic/integrations, packages/azure/data_stream/signinlogs).

AzureActivity spells some statuses otherwise than the REST API. Its Caller is the object id of a
service principal or a managed identity, and the user principal name of a user. A record has no
caller and no id of its event, so the caller comes from its claims.
"""

from collections.abc import Mapping
from typing import Any, Final

from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE

SIGN_INS, OPERATIONS = SIGN_IN_TABLE.name, OPERATION_TABLE.name
EVENT: Final = "events of the Activity Log"
RECORD: Final = "records of a diagnostic setting"
SIGN_IN_CATEGORY: Final = "ManagedIdentitySignInLogs"
# Of the Activity Log; in a record the first three are parts of operation names.
_CATEGORIES: Final = {
    *("Write", "Delete", "Action"),
    *("Administrative", "Security", "ServiceHealth", "ResourceHealth", "Alert"),
    *("Recommendation", "Policy", "Autoscale"),
}

# The statuses of the REST API and those of AzureActivity: rows exported from workspaces have
# Start, Accept, Success and Failure (github.com/Azure/Azure-Sentinel/pull/7260).
_STATUSES: Final = {
    "started": "Start",
    "accepted": "Accept",
    "succeeded": "Success",
    "failed": "Failure",
}
_CLAIMS: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_CALLER_CLAIMS: Final = (
    f"{_CLAIMS}upn",
    f"{_CLAIMS}emailaddress",
    f"{_CLAIMS}name",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
    f"{_CLAIMS}nameidentifier",
    "appid",
)


def table_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the table that an event or record belongs to, "" for none, and its form.

    Returns None for a row of a table.
    """
    if "TimeGenerated" in row:
        return None
    if "eventTimestamp" in row and "operationName" in row:
        return OPERATIONS, EVENT
    if "time" not in row or "category" not in row:
        return None
    if row["category"] == SIGN_IN_CATEGORY:
        return SIGN_INS, RECORD
    return OPERATIONS if row["category"] in _CATEGORIES else "", RECORD


def row_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a workspace's table for an event or record that has a table."""
    if "eventTimestamp" in event:
        return _row_of_event(event)
    return (
        _row_of_sign_in(event) if table_of(event) == (SIGN_INS, RECORD) else _row_of_record(event)
    )


def _row_of_event(event: Mapping[str, Any]) -> dict[str, Any]:
    claims = _object(event.get("claims"))
    request = _object(event.get("httpRequest"))
    resource = _text(event.get("resourceId")) or _text(event.get("resourceUri"))
    return {
        "TimeGenerated": event["eventTimestamp"],
        "Caller": event.get("caller") or _caller(claims),
        "OperationNameValue": _value(event["operationName"]),
        "ActivityStatusValue": _status(event.get("status")),
        "ActivitySubstatusValue": _value(event.get("subStatus")),
        "CategoryValue": _value(event.get("category")),
        "ResourceProviderValue": _value(event.get("resourceProviderName")),
        "ResourceGroup": event.get("resourceGroupName") or _part(resource, "resourcegroups"),
        "SubscriptionId": event.get("subscriptionId") or _part(resource, "subscriptions"),
        "CallerIpAddress": request.get("clientIpAddress") or claims.get("ipaddr"),
        "_ResourceId": resource,
        "EventDataId": event.get("eventDataId"),
        "CorrelationId": event.get("correlationId"),
        "Level": event.get("level"),
        "Authorization_d": event.get("authorization"),
        "Claims_d": event.get("claims"),
        "Properties_d": event.get("properties"),
    }


def _row_of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    identity = _object(record.get("identity"))
    claims = _object(identity.get("claims"))
    evidence = _object(_object(identity.get("authorization")).get("evidence"))
    properties = _object(record.get("properties"))
    resource = _text(record.get("resourceId"))
    return {
        "TimeGenerated": record["time"],
        "Caller": _caller(claims) or evidence.get("principalId"),
        "OperationNameValue": _value(record.get("operationName")),
        "ActivityStatusValue": _status(record.get("resultType")),
        "ActivitySubstatusValue": record.get("resultSignature"),
        "CategoryValue": properties.get("eventCategory") or "Administrative",
        "ResourceGroup": _part(resource, "resourcegroups"),
        "SubscriptionId": _part(resource, "subscriptions"),
        "CallerIpAddress": record.get("callerIpAddress"),
        "_ResourceId": resource,
        "EventDataId": properties.get("eventDataId"),
        "CorrelationId": record.get("correlationId"),
        "Level": record.get("level"),
        "Authorization_d": identity.get("authorization"),
        "Claims_d": identity.get("claims"),
        "Properties_d": record.get("properties"),
    }


def _row_of_sign_in(record: Mapping[str, Any]) -> dict[str, Any]:
    properties = _object(record.get("properties"))
    return {
        "TimeGenerated": record["time"],
        "ServicePrincipalId": properties.get("servicePrincipalId"),
        "ServicePrincipalName": properties.get("servicePrincipalName"),
        "ResultType": record.get("resultType"),
        "ResourceDisplayName": properties.get("resourceDisplayName"),
        "ResourceIdentity": properties.get("resourceId"),
        "IPAddress": properties.get("ipAddress") or record.get("callerIpAddress"),
        "Id": properties.get("id"),
        "CorrelationId": properties.get("correlationId") or record.get("correlationId"),
        "AADTenantId": record.get("tenantId"),
        "AppId": properties.get("appId"),
        "Category": record["category"],
        "ManagedServiceIdentity": properties.get("managedServiceIdentity"),
        "UniqueTokenIdentifier": properties.get("uniqueTokenIdentifier"),
    }


def _caller(claims: Mapping[str, Any]) -> str:
    return next((text for name in _CALLER_CLAIMS if (text := _text(claims.get(name)).strip())), "")


def _status(value: Any) -> str:
    status = _text(_value(value))
    return _STATUSES.get(ascii_lower(status), status)


def _value(value: Any) -> Any:
    """Return the value of a localizable string, which newer versions of `az` print as a text."""
    return value.get("value") if isinstance(value, dict) else value


def _part(resource: str, name: str) -> str:
    """Return the segment after `name` in a resource id, "" if there is none."""
    segments = resource.split("/")
    names = list(map(ascii_lower, segments))
    place = names.index(name) + 1 if name in names else len(segments)
    return segments[place] if place < len(segments) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
