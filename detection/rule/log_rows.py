"""What the rule is given: the rows of the two tables, as plain tuples.

A hundred thousand of them are sorted and visited at once, so they are neither dicts nor objects;
the constants name their places. Text places hold "" where the log holds null, because a KQL
string is never null. A `TableShape` says which column of the table stands in each place and how
many of them the rule cannot do without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

TIME: Final = 0
IDENTITY: Final = 1

# AADManagedIdentitySignInLogs: the time in ticks, then text.
SignIn = tuple[int, str, str, str, str, str, str, str, str]
RESULT: Final = 2
RESOURCE: Final = 3
NAME: Final = 4
ADDRESS: Final = 5
SIGN_IN_ID: Final = 6
RESOURCE_IDENTITY: Final = 7
SIGN_IN_CORRELATION: Final = 8

# AzureActivity: the time in ticks, then text.
Operation = tuple[int, str, str, str, str, str, str, str, str, str, str]
OPERATION: Final = 2
STATUS: Final = 3
RESOURCE_GROUP: Final = 4
SUBSCRIPTION_ID: Final = 5
CALLER_ADDRESS: Final = 6
RESOURCE_ID: Final = 7
OWN_RESOURCE_ID: Final = 8
EVENT_DATA_ID: Final = 9
OPERATION_CORRELATION: Final = 10


class TableShape(NamedTuple):
    """A table's name and the column in each place of a row.

    It must have the first `required` of them. The first `shared` hold few different values. The
    first of a `timed` table is its time. The remedy is for a table that is missing.
    """

    name: str
    columns: tuple[str, ...]
    required: int
    shared: int
    remedy: str
    timed: bool = True


SIGN_IN_TABLE = TableShape(
    name="AADManagedIdentitySignInLogs",
    columns=(
        "TimeGenerated",
        "ServicePrincipalId",
        "ResultType",
        "ResourceDisplayName",
        "ServicePrincipalName",
        "IPAddress",
        "Id",
        "ResourceIdentity",
        "CorrelationId",
    ),
    required=4,
    shared=6,
    remedy="enable the category ManagedIdentitySignInLogs in Entra ID's diagnostic settings "
    "(and check that the table's plan is Analytics)",
)
OPERATION_TABLE = TableShape(
    name="AzureActivity",
    columns=(
        "TimeGenerated",
        "Caller",
        "OperationNameValue",
        "ActivityStatusValue",
        "ResourceGroup",
        "SubscriptionId",
        "CallerIpAddress",
        "ResourceId",
        "_ResourceId",
        "EventDataId",
        "CorrelationId",
    ),
    required=4,
    shared=7,
    remedy="send each subscription's activity log to the workspace with a diagnostic setting or "
    "the Azure Activity connector (and check that the table's plan is Analytics)",
)
ALLOWLIST_TABLE = TableShape(
    name="NetworkAllowlist",
    columns=("IPOrRange",),
    required=0,  # without it there is no entry, which Allowlist.problem says
    shared=0,
    remedy="create the watchlist if sign-ins from known addresses are to be left out",
    timed=False,
)


class SourceState(StrEnum):
    """Whether a table or watchlist gave rows."""

    OK = "Ok"
    EMPTY = "Empty"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class Logs:
    """All that one window's detection is made from.

    A source may leave out rows that no setting makes a part of the rule; `read` then says how
    many rows the window has with them, by table. `warnings` are sentences of the source about
    what may be missing from the rows, for the run record; `remedies`, by table, say what to do
    about a missing one where that is not what the shape says.
    """

    sign_ins: list[SignIn]
    operations: list[Operation]
    allowlist: list[str]
    states: Mapping[str, SourceState]
    read: Mapping[str, int] = field(default_factory=dict)
    latest: Mapping[str, int | None] = field(default_factory=dict)
    bytes_read: int = 0
    warnings: tuple[str, ...] = ()
    remedies: Mapping[str, str] = field(default_factory=dict)
