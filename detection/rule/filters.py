"""Clauses 1 to 3 of the rule: which sign-ins and which operations take part."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from detection.rule.allowlist import Allowlist
from detection.rule.kql_text import ascii_lower, equals_ignoring_case, has_any, is_blank
from detection.rule.log_rows import (
    IDENTITY,
    IP_ADDRESS,
    OPERATION_NAME,
    RESOURCE_NAME,
    RESULT_TYPE,
    STATUS,
    TIME,
    Operation,
    SignIn,
)
from detection.rule.memo import Memo
from detection.rule.ticks import DAY, HOUR

TARGET_SERVICES = ("Key Vault", "Storage", "Blob")
CHANGE_TERMS = ("WRITE", "DELETE")
READ_TERMS = ("READ", "LIST", "GET")
OTHER_SUCCESS = "Succeeded"  # D8: the spelling of older rows, counted where it is not accepted

LogRow = TypeVar("LogRow", SignIn, Operation)


def is_target_service(name: str) -> bool:
    """Clause 2: whether a sign-in to this resource counts."""
    return has_any(name, TARGET_SERVICES)


def is_signed_in(result: str) -> bool:
    """Clause 2: whether a sign-in with this result type was let in."""
    return result == "0"


def is_change(name: str) -> bool:
    """Clause 3: whether an operation of this name changes something."""
    return has_any(name, CHANGE_TERMS) and not has_any(name, READ_TERMS)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """The settings of the rule and of its windows; durations in ticks.

    `span`: the longest time between a sign-in and an operation (clause 4). `success_statuses`: the
    accepted statuses of clause 3 (D8). `novelty`: compare findings with the baseline of their
    identity, for the score alone. `lookback`: the length of a window. `max_catch_up`: how much
    missed time a run examines. `max_lateness`: the longest delay with which a row may arrive (D9).
    """

    span: int = HOUR
    success_statuses: tuple[str, ...] = ("Success",)
    novelty: bool = False
    lookback: int = 2 * HOUR
    max_catch_up: int = 7 * DAY
    max_lateness: int = DAY


@dataclass(frozen=True, slots=True)
class Matched(Generic[LogRow]):
    """The rows that take part, by folded identity, in no order, and how many matched.

    `matched` counts the rows of the window that meet clause 2 or 3; of sign-ins, `excluded` were
    left out by the allowlist and `without_address` had no address to look up. Of operations,
    `without_caller` name nobody who made them (D2), and besides `other_success` would match if
    "Succeeded" were an accepted status (D8).
    """

    by_identity: dict[str, list[LogRow]]
    matched: int
    excluded: int = 0
    without_address: int = 0
    other_success: int = 0
    without_caller: int = 0


def match_sign_ins(
    rows: list[SignIn], start: int, end: int, allowlist: Allowlist
) -> Matched[SignIn]:
    """Clauses 1 and 2, for rows with start < TimeGenerated <= end."""
    is_target = Memo[str, bool](is_target_service)
    matched = [
        row
        for row in rows
        if row[RESULT_TYPE] == "0" and is_target[row[RESOURCE_NAME]] and start < row[TIME] <= end
    ]
    addresses = Counter(map(itemgetter(IP_ADDRESS), matched))
    covered = set(filter(allowlist.covers, addresses))
    kept = [row for row in matched if row[IP_ADDRESS] not in covered] if covered else matched
    return Matched(
        by_identity=_by_identity(kept),
        matched=len(matched),
        excluded=len(matched) - len(kept),
        without_address=sum(n for address, n in addresses.items() if is_blank(address)),
    )


def match_operations(
    rows: list[Operation], start: int, end: int, settings: RuleSettings
) -> Matched[Operation]:
    """Clause 3, for rows with start < TimeGenerated <= end."""
    is_taken = Memo[str, bool](is_change)
    accepted = {ascii_lower(status) for status in settings.success_statuses}
    statuses = set(map(itemgetter(STATUS), rows))
    succeeded = {status for status in statuses if ascii_lower(status) in accepted}
    other = {s for s in statuses if s not in succeeded and equals_ignoring_case(s, OTHER_SUCCESS)}

    def with_status(among: set[str]) -> list[Operation]:
        return [
            row
            for row in rows
            if row[STATUS] in among and is_taken[row[OPERATION_NAME]] and start < row[TIME] <= end
        ]

    changes = with_status(succeeded)
    by_identity = _by_identity(changes)
    return Matched(
        by_identity=by_identity,
        matched=len(changes),
        other_success=len(with_status(other)) if other else 0,
        without_caller=len(changes) - sum(map(len, by_identity.values())),
    )


def _by_identity(rows: list[LogRow]) -> dict[str, list[LogRow]]:
    """Sort rows into identities as D3 compares them; a blank identity pairs with none (D2)."""
    found: defaultdict[str, list[LogRow]] = defaultdict(list)
    spelt = Memo[str, list[LogRow]](lambda identity: found[ascii_lower(identity)])
    for row in rows:
        spelt[row[IDENTITY]].append(row)
    return {identity: mine for identity, mine in found.items() if not is_blank(identity)}
