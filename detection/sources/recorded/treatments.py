"""The way in which each recorded column is replaced by pseudonyms."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Treatment(Enum):
    """The ways to replace the values of a column."""

    KEEP = auto()  # a time in ticks
    NAME = auto()  # a name or an id, compared without ASCII case
    EVENT = auto()  # the id of an event, compared with case
    PATH = auto()  # a resource id, part by part
    ADDRESS = auto()
    ENTRY = auto()  # an entry of the allowlist, by replace_allowlist()
    SERVICE = auto()
    OPERATION = auto()
    CODE = auto()
    STATUS = auto()
    EXPIRY = auto()
    CLASSES = auto()  # of operations
    KIND = auto()  # of an identity or a principal
    ROLE = auto()  # the name or the id of a role: those of built-in roles stay


# Every column of every table that is recorded.
TREATMENTS: Final[Mapping[str, Treatment]] = {
    "TimeGenerated": Treatment.KEEP,
    "ServicePrincipalId": Treatment.NAME,
    "ServicePrincipalName": Treatment.NAME,
    "ResourceIdentity": Treatment.NAME,
    "Caller": Treatment.NAME,
    "ResourceGroup": Treatment.NAME,
    "SubscriptionId": Treatment.NAME,
    "Owner": Treatment.NAME,
    "Reason": Treatment.NAME,
    "Id": Treatment.EVENT,
    "EventDataId": Treatment.EVENT,
    "CorrelationId": Treatment.EVENT,
    "ResourceId": Treatment.PATH,
    "_ResourceId": Treatment.PATH,
    "IPAddress": Treatment.ADDRESS,
    "CallerIpAddress": Treatment.ADDRESS,
    "IPOrRange": Treatment.ENTRY,
    "ResourceDisplayName": Treatment.SERVICE,
    "OperationNameValue": Treatment.OPERATION,
    "ResultType": Treatment.CODE,
    "ActivityStatusValue": Treatment.STATUS,
    "Expires": Treatment.EXPIRY,
    "OperationClasses": Treatment.CLASSES,
    "Identity": Treatment.NAME,
    "TenantId": Treatment.NAME,
    "IdentityType": Treatment.KIND,
    "IdentityResourceId": Treatment.PATH,
    "HostResourceId": Treatment.PATH,
    "Role": Treatment.ROLE,
    "RoleScope": Treatment.PATH,
    "Token": Treatment.EVENT,
    "Address": Treatment.ADDRESS,
    "Status": Treatment.STATUS,
    "RoleDefinitionId": Treatment.ROLE,
    "PrincipalId": Treatment.NAME,
    "PrincipalType": Treatment.KIND,
    "Scope": Treatment.PATH,
    "Failed": Treatment.CODE,
}
