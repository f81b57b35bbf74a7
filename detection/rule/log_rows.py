"""The rows of both log tables, as the rule reads them: plain tuples.

A window can hold hundreds of thousands of rows, which are sorted and visited many times; tuples are
faster than dicts or objects. The constants below are the indexes of their columns. A text column
holds "" where the log holds null, because a KQL string is never null.
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
    """A table's name, and its column at each index of a row.

    `columns[:required]` must exist. `columns[:shared]` have few distinct values. If `timed`,
    `columns[0]` is the timestamp. `remedy` is the advice if the table is missing.
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
    required=0,  # without the column there is no entry, and Allowlist.problem explains it
    shared=0,
    remedy="create the watchlist to exclude sign-ins from known addresses",
    timed=False,
)


class SourceState(StrEnum):
    """The result of reading a table or watchlist in one window."""

    OK = "Ok"
    EMPTY = "Empty"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class Logs:
    """All input of one window's detection.

    A source may leave out rows that no setting can match; `read` then gives the number of rows by
    table, including those. `warnings` are the source's sentences about rows that may be missing,
    for the run record. `remedies`, by table, replace the shape's advice for a missing table.
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


# Sorts after every id of zeros and dashes alone, and before nearly all other ids.
LOWEST_USUAL_ID = "00000000:"


def resource_ids(rows: Iterable[Operation]) -> Iterator[str]:
    """Return the operations' resources: `ResourceId`, or `_ResourceId` if that is blank (D4)."""
    return map(resource_id, rows)


def resource_id(row: Operation) -> str:
    """Return one operation's resource: `ResourceId`, or `_ResourceId` if that is blank (D4)."""
    given = row[RESOURCE_ID]
    return row[UNDERSCORE_RESOURCE_ID] if is_blank(given) else given


def is_nil_id(event_id: str) -> bool:
    """Return True if an id names no event: it is blank, or all zeros like the nil UUID."""
    return not event_id.strip().strip("0-")


def operation_keys(rows: Sequence[Operation]) -> list[str]:
    """Return a key for each operation: `EventDataId`, or all known columns if that is missing."""
    ids = list(map(itemgetter(EVENT_DATA_ID), rows))
    return ids if _are_usual_ids(ids) else list(map(_operation_key, rows))


def sign_in_keys(rows: Sequence[SignIn]) -> list[str]:
    """Return a key for each sign-in: `Id`, or all known columns if that is missing."""
    ids = list(map(itemgetter(SIGN_IN_ID), rows))
    return ids if _are_usual_ids(ids) else list(map(_sign_in_key, rows))


def _are_usual_ids(ids: list[str]) -> bool:
    """Return True only if no id is blank or nil and none begins with "~".

    Most windows have such ids alone, so that they need not be checked one by one.
    """
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
    """Return an event's id; for an event without an id, "~" and its known columns.

    An id that begins with "~" gets a second one, so that it never equals a key of the other kind.
    kql/functions.kql builds keys in the same way.
    """
    if is_nil_id(event_id):
        return "~" + joined(known)
    return "~" + event_id if event_id.startswith("~") else event_id


def joined(parts: Iterable[int | str]) -> str:
    """Join parts with "|", and escape them: parts that differ give texts that differ.

    Escaped() in kql/functions.kql escapes in the same way.
    """
    return "|".join(str(part).replace("~", "~0").replace("|", "~1") for part in parts)
