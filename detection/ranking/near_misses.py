"""Near misses: grave changes that are no findings, because the sign-in was too long before.

A token lives up to a day, so a thief can use it long after the rule's span. A near miss is a change
of a grave class, by an identity that signed in to a target service within TOKEN_LIFETIME before it,
but not within the span. It is counted in the run record and never reported as a finding.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from operator import itemgetter
from typing import Final, NamedTuple

from detection.ranking.classify import OTHER, ROUTINE, classify
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    OPERATION_NAME,
    RESOURCE_GROUP,
    TIME,
    Operation,
    SignIn,
    operation_keys,
)
from detection.rule.ticks import DAY

# Azure keeps a managed identity's token for around 24 hours: learn.microsoft.com/entra/identity/
# managed-identities-azure-resources/managed-identity-best-practice-recommendations
TOKEN_LIFETIME: Final = DAY


class LateChanges(NamedTuple):
    """A number of distinct changes too long after a sign-in, all names in ASCII lower case."""

    identity: str
    operation: str
    resource_group: str
    number: int


IsExcluded = Callable[[LateChanges], bool]


class NearMiss(NamedTuple):
    """The near misses of one identity with one operation name, both in ASCII lower case."""

    identity: str
    operation: str
    number: int


def near_misses(changes: Iterable[LateChanges], is_excluded: IsExcluded) -> list[NearMiss]:
    """Return the near misses among the changes, the gravest first."""
    found: Counter[tuple[str, str]] = Counter()
    for change in changes:
        if is_grave(change.operation) and not is_excluded(change):
            found[change.identity, change.operation] += change.number
    misses = [NearMiss(*names, number) for names, number in found.items()]
    return sorted(misses, key=lambda miss: (-classify(miss.operation).points, -miss.number, miss))


def is_grave(operation: str) -> bool:
    """Return True if a change is of a class other than `routine` and `other`."""
    return classify(operation).name not in {ROUTINE, OTHER}


def late_changes(
    sign_ins: Mapping[str, list[SignIn]], operations: Mapping[str, list[Operation]], span: int
) -> list[LateChanges]:
    """Count the operations with a sign-in in TOKEN_LIFETIME before them, and none in the span.

    Both are given by identity, and `span` in ticks. kql/near_misses.kql counts in the same way.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for identity, rows in operations.items():
        times = sorted(map(itemgetter(TIME), sign_ins.get(identity, ())))
        befores = [bisect_right(times, row[TIME]) for row in rows]
        delays = [
            row[TIME] - times[before - 1] if before else TOKEN_LIFETIME + 1
            for row, before in zip(rows, befores, strict=True)
        ]
        if late := _events(rows, [span < delay <= TOKEN_LIFETIME for delay in delays]):
            # The log may hold one operation several times.
            for operation, resource_group, _ in late - _events(rows, [d <= span for d in delays]):
                found[identity, operation, resource_group] += 1
    return [LateChanges(*names, number) for names, number in found.items()]


def _events(rows: list[Operation], chosen: list[bool]) -> set[tuple[str, str, str]]:
    """Return the name, the resource group and the key of each chosen operation."""
    kept = list(compress(rows, chosen))
    return {
        (ascii_lower(row[OPERATION_NAME]), ascii_lower(row[RESOURCE_GROUP]), key)
        for row, key in zip(kept, operation_keys(kept), strict=True)
    }
