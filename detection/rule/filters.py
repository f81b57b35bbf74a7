"""Clauses 1 to 3 of the rule: which sign-ins and which operations take part."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from detection.ranking.classify import action_of
from detection.rule.allowlist import Allowlist
from detection.rule.kql_text import equals_ignoring_case, fold, has_any, is_blank
from detection.rule.log_rows import (
    ADDRESS,
    EVENT_DATA_ID,
    IDENTITY,
    OPERATION,
    OPERATION_CORRELATION,
    OPERATION_TABLE,
    OWN_RESOURCE_ID,
    RESOURCE,
    RESOURCE_ID,
    RESOURCE_IDENTITY,
    RESULT,
    SIGN_IN_CORRELATION,
    SIGN_IN_ID,
    SIGN_IN_TABLE,
    STATUS,
    SUBSCRIPTION_ID,
    TIME,
    Operation,
    SignIn,
)
from detection.rule.memo import Memo
from detection.rule.ticks import HOUR

TARGET_SERVICES = ("Key Vault", "Storage", "Blob")
CHANGE_TERMS = ("WRITE", "DELETE")
READ_TERMS = ("READ", "LIST", "GET")
OTHER_SUCCESS = "Succeeded"  # D8: the spelling of older rows, counted where it is not accepted
NO_ID = "00000000:"  # greater than all that consists of zeros and dashes, less than nearly all ids

Row = TypeVar("Row", SignIn, Operation)
Candidates = Mapping[str, Callable[[str], bool]]  # a column's name, and which texts it may hold


def is_target_service(name: str) -> bool:
    """Clause 2: whether a sign-in to this resource counts."""
    return has_any(name, TARGET_SERVICES)


def is_signed_in(result: str) -> bool:
    """Clause 2: whether a sign-in with this result type was let in."""
    return result == "0"


def is_change(name: str) -> bool:
    """Clause 3: whether an operation of this name changes something."""
    return has_any(name, CHANGE_TERMS) and not has_any(name, READ_TERMS)


def is_telling(name: str) -> bool:
    """Whether an operation of this name changes something, or says more about who did."""
    return is_change(name) or action_of(name) is not None


# What no setting and no window can make a part of clauses 2 and 3 need not be kept.
ALL: Candidates = {}
SIGN_IN_CANDIDATES: Candidates = {
    SIGN_IN_TABLE.columns[RESULT]: is_signed_in,
    SIGN_IN_TABLE.columns[RESOURCE]: is_target_service,
}
OPERATION_CANDIDATES: Candidates = {OPERATION_TABLE.columns[OPERATION]: is_telling}


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
    `without_caller` name nobody who made them (D2), and besides `other_success` would match if
    "Succeeded" were an accepted status (D8).
    """

    by_identity: dict[str, list[Row]]
    matched: int
    excluded: int = 0
    without_address: int = 0
    other_success: int = 0
    without_caller: int = 0


def choose_sign_ins(
    rows: list[SignIn], start: int, end: int, allowlist: Allowlist
) -> Chosen[SignIn]:
    """Clauses 1 and 2, for rows with start < TimeGenerated <= end."""
    is_target = Memo[str, bool](is_target_service)
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
    is_taken = Memo[str, bool](is_change)
    accepted = {fold(status) for status in settings.success_statuses}
    statuses = set(map(itemgetter(STATUS), rows))
    succeeded = {status for status in statuses if fold(status) in accepted}
    other = {s for s in statuses if s not in succeeded and equals_ignoring_case(s, OTHER_SUCCESS)}

    def with_status(among: set[str]) -> list[Operation]:
        return [
            row
            for row in rows
            if row[STATUS] in among and is_taken[row[OPERATION]] and start < row[TIME] <= end
        ]

    changes = with_status(succeeded)
    by_identity = _by_identity(changes)
    return Chosen(
        by_identity=by_identity,
        matched=len(changes),
        other_success=len(with_status(other)) if other else 0,
        without_caller=len(changes) - sum(map(len, by_identity.values())),
    )


def resource_ids(rows: Iterable[Operation]) -> Iterator[str]:
    """Return the operations' resources: `ResourceId`, or where that is blank `_ResourceId` (D4)."""
    return map(resource_id, rows)


def resource_id(row: Operation) -> str:
    """Return one operation's resource, likewise."""
    given = row[RESOURCE_ID]
    return row[OWN_RESOURCE_ID] if is_blank(given) else given


def is_no_id(event_id: str) -> bool:
    """Tell an id that names no event: it is blank, or all zeros as the nil UUID is."""
    return not event_id.strip().strip("0-")


def operation_keys(rows: Sequence[Operation]) -> list[str]:
    """Return what tells one operation from another: `EventDataId`, else all that is known of it."""
    ids = list(map(itemgetter(EVENT_DATA_ID), rows))
    return ids if _are_keys(ids) else list(map(_operation_key, rows))


def sign_in_keys(rows: Sequence[SignIn]) -> list[str]:
    """Return what tells one sign-in from another: `Id`, else all that is known of it."""
    ids = list(map(itemgetter(SIGN_IN_ID), rows))
    return ids if _are_keys(ids) else list(map(_sign_in_key, rows))


def _are_keys(ids: list[str]) -> bool:
    """Whether no id can be none, or begin with "~": nearly all begin with a letter or digit."""
    return not ids or (min(ids) > NO_ID and max(ids) < "~")


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
    """Return an event's id, or "~" and what is known of the event where it has none.

    An id that itself begins with "~" gets another before it, so that no two kinds are equal.
    queries/functions.kql names events in the same way.
    """
    if is_no_id(event_id):
        return "~" + "|".join(str(part).replace("~", "~0").replace("|", "~1") for part in known)
    return "~" + event_id if event_id.startswith("~") else event_id


def _by_identity(rows: list[Row]) -> dict[str, list[Row]]:
    """Sort rows into identities as D3 compares them; a blank identity pairs with none (D2)."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    spelt = Memo[str, list[Row]](lambda identity: found[fold(identity)])
    for row in rows:
        spelt[row[IDENTITY]].append(row)
    return {identity: mine for identity, mine in found.items() if not is_blank(identity)}
