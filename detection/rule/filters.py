"""Clauses 1 to 3 of the rule: the sign-ins and the operations that match.

The constants below are the rule's words and codes. The queries in detection/kql get them from here.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Generic, TypeVar

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

TARGET_TERMS: Final = ("Key Vault", "Storage", "Blob")
SIGN_IN_SUCCESS: Final = "0"
CHANGE_TERMS: Final = ("WRITE", "DELETE")
READ_TERMS: Final = ("READ", "LIST", "GET")
SUCCESS: Final = "Success"
OTHER_SUCCESS: Final = "Succeeded"  # D8: how older rows spell it
# For the details of an identity; compared without case.
FAILURE_STATUSES: Final = ("Failure", "Failed")
ROLE_ASSIGNMENT_WRITE: Final = "Microsoft.Authorization/roleAssignments/write"

LogRow = TypeVar("LogRow", SignIn, Operation)


def is_target_service(name: str) -> bool:
    """Clause 2: return True if a resource with this name belongs to a target service."""
    return has_any(name, TARGET_TERMS)


def is_signed_in(result: str) -> bool:
    """Clause 2: return True if a sign-in with this result type succeeded."""
    return result == SIGN_IN_SUCCESS


def is_change(name: str) -> bool:
    """Clause 3: return True if an operation with this name is a write or a delete."""
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
    success_statuses: tuple[str, ...] = (SUCCESS,)
    novelty: bool = True
    lookback: int = 2 * HOUR
    max_catch_up: int = 7 * DAY
    max_lateness: int = DAY


@dataclass(frozen=True, slots=True)
class Matched(Generic[LogRow]):
    """The rows that can pair, by identity in lower case, unsorted; the counts of clauses 1 to 3.

    `matched` counts the rows of the window that meet clause 2 or 3. Of these sign-ins the
    allowlist excluded `excluded`, and `without_address` have no address. Of these operations
    `without_caller` have no caller (D2). `other_success` counts the operations that match apart
    from their status, which is OTHER_SUCCESS (D8).
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
    """Apply clauses 1 and 2 to the rows with start < TimeGenerated <= end (ticks)."""
    is_target = Memo[str, bool](is_target_service)
    matched = [
        row
        for row in rows
        if row[RESULT_TYPE] == SIGN_IN_SUCCESS
        and is_target[row[RESOURCE_NAME]]
        and start < row[TIME] <= end
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
    """Apply clause 3 to the rows with start < TimeGenerated <= end (ticks)."""
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
    """Group rows by identity, ASCII case ignored (D3), without blank identities (D2)."""
    found: defaultdict[str, list[LogRow]] = defaultdict(list)
    spelt = Memo[str, list[LogRow]](lambda identity: found[ascii_lower(identity)])
    for row in rows:
        spelt[row[IDENTITY]].append(row)
    return {identity: mine for identity, mine in found.items() if not is_blank(identity)}
