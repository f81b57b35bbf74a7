"""Clauses 1 to 3 of the rule: which sign-ins and which operations take part."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from detection.rule.allowlist import Allowlist
from detection.rule.memo import Memo
from detection.rule.rows import (
    ADDRESS,
    EVENT_DATA_ID,
    IDENTITY,
    OPERATION,
    OPERATION_CORRELATION,
    OWN_RESOURCE_ID,
    RESOURCE,
    RESOURCE_ID,
    RESOURCE_IDENTITY,
    RESULT,
    SIGN_IN_CORRELATION,
    SIGN_IN_ID,
    STATUS,
    SUBSCRIPTION_ID,
    TIME,
    Operation,
    SignIn,
)
from detection.rule.terms import equals_ignoring_case, fold, has_any, is_blank
from detection.rule.ticks import HOUR

TARGET_SERVICES = ("Key Vault", "Storage", "Blob")
CHANGE_TERMS = ("WRITE", "DELETE")
READ_TERMS = ("READ", "LIST", "GET")
OTHER_SUCCESS = "Succeeded"  # D8: the spelling of older rows, counted where it is not accepted

Row = TypeVar("Row", SignIn, Operation)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What may be set about the rule: the span in ticks (clause 4) and clause 3's statuses (D8).

    `novelty` is for the score alone: whether to look at what identities did before.
    """

    span: int = HOUR
    success_statuses: tuple[str, ...] = ("Success",)
    novelty: bool = False


@dataclass(frozen=True, slots=True)
class Chosen(Generic[Row]):
    """The rows that take part, by folded identity, in no order, and how many matched.

    `matched` counts the rows of the window that meet clause 2 or 3; of sign-ins, `excluded` were
    left out by the allowlist and `without_address` had no address to look up. Of operations,
    `other_success` would match if "Succeeded" were an accepted status (D8).
    """

    by_identity: dict[str, list[Row]]
    matched: int
    excluded: int = 0
    without_address: int = 0
    other_success: int = 0


def choose_sign_ins(
    rows: list[SignIn], start: int, end: int, allowlist: Allowlist
) -> Chosen[SignIn]:
    """Clauses 1 and 2, for rows with start < TimeGenerated <= end."""
    is_target = Memo[str, bool](lambda name: has_any(name, TARGET_SERVICES))
    matched = [
        row
        for row in rows
        if row[RESULT] == "0" and is_target[row[RESOURCE]] and start < row[TIME] <= end
    ]
    addresses = Counter(map(itemgetter(ADDRESS), matched))
    covered = set(filter(allowlist.covers, addresses))
    kept = [row for row in matched if row[ADDRESS] not in covered] if covered else matched
    return Chosen(
        by_identity=_by_identity(kept),
        matched=len(matched),
        excluded=len(matched) - len(kept),
        without_address=sum(n for address, n in addresses.items() if is_blank(address)),
    )


def choose_operations(
    rows: list[Operation], start: int, end: int, settings: RuleSettings
) -> Chosen[Operation]:
    """Clause 3, for rows with start < TimeGenerated <= end."""
    is_change = Memo[str, bool](
        lambda name: has_any(name, CHANGE_TERMS) and not has_any(name, READ_TERMS)
    )
    accepted = {fold(status) for status in settings.success_statuses}
    statuses = set(map(itemgetter(STATUS), rows))
    succeeded = {status for status in statuses if fold(status) in accepted}
    other = {s for s in statuses if s not in succeeded and equals_ignoring_case(s, OTHER_SUCCESS)}

    def with_status(among: set[str]) -> list[Operation]:
        return [
            row
            for row in rows
            if row[STATUS] in among and is_change[row[OPERATION]] and start < row[TIME] <= end
        ]

    changes = with_status(succeeded)
    return Chosen(
        by_identity=_by_identity(changes),
        matched=len(changes),
        other_success=len(with_status(other)) if other else 0,
    )


def resource_id(row: Operation) -> str:
    """Return an operation's resource: `ResourceId`, or `_ResourceId` where that is blank (D4)."""
    return row[OWN_RESOURCE_ID] if is_blank(row[RESOURCE_ID]) else row[RESOURCE_ID]


def operation_keys(rows: list[Operation]) -> list[str]:
    """Return what tells one operation from another: `EventDataId`, else all that is known of it."""
    # Nearly every id begins with a letter or digit and needs no second look.
    return [
        event_id if (event_id := row[EVENT_DATA_ID])[:1].isalnum() else _operation_key(row)
        for row in rows
    ]


def sign_in_keys(rows: list[SignIn]) -> list[str]:
    """Return what tells one sign-in from another: `Id`, else all that is known of it."""
    return [
        event_id if (event_id := row[SIGN_IN_ID])[:1].isalnum() else _sign_in_key(row)
        for row in rows
    ]


def _operation_key(row: Operation) -> str:
    return _key(
        row[EVENT_DATA_ID],
        row[TIME],
        fold(row[IDENTITY]),
        fold(row[OPERATION]),
        fold(resource_id(row)),
        fold(row[SUBSCRIPTION_ID]),
        row[OPERATION_CORRELATION],
    )


def _sign_in_key(row: SignIn) -> str:
    return _key(
        row[SIGN_IN_ID],
        row[TIME],
        fold(row[IDENTITY]),
        row[RESOURCE],
        fold(row[RESOURCE_IDENTITY]),
        row[SIGN_IN_CORRELATION],
    )


def _key(event_id: str, *known: int | str) -> str:
    """Return an event's id, or "~" and what is known of the event where the id is blank.

    An id that itself begins with "~" gets another before it, so that no two kinds are equal.
    """
    if is_blank(event_id):
        return "~" + json.dumps(known)
    return "~" + event_id if event_id.startswith("~") else event_id


def _by_identity(rows: list[Row]) -> dict[str, list[Row]]:
    """Sort rows into identities as D3 compares them; a blank identity pairs with none (D2)."""
    folded = Memo[str, str](fold)
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[folded[row[IDENTITY]]].append(row)
    return {identity: mine for identity, mine in found.items() if not is_blank(identity)}
