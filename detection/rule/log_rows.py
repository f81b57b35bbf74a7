"""What the rule is given: the rows of the two tables, as plain tuples.

A hundred thousand of them are sorted and visited at once, so they are neither dicts nor objects;
the constants name their places. Text places hold "" where the log holds null, because a KQL
string is never null. A `TableShape` says which column of the table stands in each place and how
many of them the rule cannot do without.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import Final, NamedTuple

from detection.rule.kql_text import ascii_lower, is_blank

TIME: Final = 0
IDENTITY: Final = 1

# AADManagedIdentitySignInLogs: the time in ticks, then text.
SignIn = tuple[int, str, str, str, str, str, str, str, str]
RESULT_TYPE: Final = 2
RESOURCE_NAME: Final = 3
SERVICE_PRINCIPAL_NAME: Final = 4
IP_ADDRESS: Final = 5
SIGN_IN_ID: Final = 6
RESOURCE_IDENTITY: Final = 7
SIGN_IN_CORRELATION: Final = 8

# AzureActivity: the time in ticks, then text.
Operation = tuple[int, str, str, str, str, str, str, str, str, str, str]
OPERATION_NAME: Final = 2
STATUS: Final = 3
RESOURCE_GROUP: Final = 4
SUBSCRIPTION_ID: Final = 5
CALLER_ADDRESS: Final = 6
RESOURCE_ID: Final = 7
UNDERSCORE_RESOURCE_ID: Final = 8
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


LOWEST_USUAL_ID = (
    "00000000:"  # greater than all that consists of zeros and dashes, less than nearly all ids
)


def resource_ids(rows: Iterable[Operation]) -> Iterator[str]:
    """Return the operations' resources: `ResourceId`, or where that is blank `_ResourceId` (D4)."""
    return map(resource_id, rows)


def resource_id(row: Operation) -> str:
    """Return one operation's resource, likewise."""
    given = row[RESOURCE_ID]
    return row[UNDERSCORE_RESOURCE_ID] if is_blank(given) else given


def is_nil_id(event_id: str) -> bool:
    """Tell an id that names no event: it is blank, or all zeros as the nil UUID is."""
    return not event_id.strip().strip("0-")


def operation_keys(rows: Sequence[Operation]) -> list[str]:
    """Return what tells one operation from another: `EventDataId`, else all that is known of it."""
    ids = list(map(itemgetter(EVENT_DATA_ID), rows))
    return ids if _are_usual_ids(ids) else list(map(_operation_key, rows))


def sign_in_keys(rows: Sequence[SignIn]) -> list[str]:
    """Return what tells one sign-in from another: `Id`, else all that is known of it."""
    ids = list(map(itemgetter(SIGN_IN_ID), rows))
    return ids if _are_usual_ids(ids) else list(map(_sign_in_key, rows))


def _are_usual_ids(ids: list[str]) -> bool:
    """Whether no id can be none, or begin with "~": nearly all begin with a letter or digit."""
    return not ids or (min(ids) > LOWEST_USUAL_ID and max(ids) < "~")


def _operation_key(row: Operation) -> str:
    return _key(
        row[EVENT_DATA_ID],
        row[TIME],
        ascii_lower(row[IDENTITY]),
        ascii_lower(row[OPERATION_NAME]),
        ascii_lower(resource_id(row)),
        ascii_lower(row[SUBSCRIPTION_ID]),
        row[OPERATION_CORRELATION],
    )


def _sign_in_key(row: SignIn) -> str:
    return _key(
        row[SIGN_IN_ID],
        row[TIME],
        ascii_lower(row[IDENTITY]),
        row[RESOURCE_NAME],
        ascii_lower(row[RESOURCE_IDENTITY]),
        row[SIGN_IN_CORRELATION],
    )


def _key(event_id: str, *known: int | str) -> str:
    """Return an event's id, or "~" and what is known of the event where it has none.

    An id that itself begins with "~" gets another before it, so that no two kinds are equal.
    kql/functions.kql names events in the same way.
    """
    if is_nil_id(event_id):
        return "~" + "|".join(str(part).replace("~", "~0").replace("|", "~1") for part in known)
    return "~" + event_id if event_id.startswith("~") else event_id
