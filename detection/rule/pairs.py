"""What an analyst is shown of a group: its operations by name, each with its earliest pairs.

This is all that score and evidence are made from, so an engine that returns no rows (a query in
the workspace) can give the same: per group and operation name (D3), how many different operations
there are, and the earliest of them, each with the latest sign-in at or before it. Ten pairs are
shown of a group and every name comes before any second of a name, so of n names the earliest
11 - n operations of each, but at least one, are enough.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter, sub
from typing import NamedTuple

from detection.rule.kql_text import ascii_lower, has_any
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    OPERATION_CORRELATION,
    OPERATION_NAME,
    RESOURCE_NAME,
    TIME,
    Operation,
    SignIn,
    resource_id,
)
from detection.rule.ticks import HOUR

PAIRS_KEPT = 10  # of a group that has one operation name; of more names fewer each
# The services that the rule is about, and the words by which a resource's name tells them.
SERVICE_TERMS = {"Key Vault": ("Key Vault",), "Storage": ("Storage", "Blob")}

_time, _name = itemgetter(TIME), itemgetter(OPERATION_NAME)
_label = lru_cache(10_000)(ascii_lower)  # operation names are few


class Pair(NamedTuple):
    """An operation and the latest sign-in at or before it; times in ticks."""

    signed_in: int
    resource: str
    operated: int
    operation: str
    resource_id: str
    caller_address: str
    correlation_id: str


class OperationPairs(NamedTuple):
    """One operation name in a group, as first spelt, and how many different operations it has."""

    operation: str
    number: int
    pairs: Sequence[Pair]


class GroupPairs(NamedTuple):
    """The pairs of a group, by operation name.

    `soonest` is the shortest time (ticks) between a sign-in and an operation, `services` the target
    services that were signed in to.
    """

    by_operation: Sequence[OperationPairs]
    soonest: int
    services: frozenset[str]


def group_pairs(
    rows: Sequence[Operation], keys: Sequence[str], sign_ins: Sequence[SignIn], resources: list[str]
) -> GroupPairs:
    """Sum up a group: its operations in time order, the key of each and its latest sign-in.

    `resources` are all those that the group's sign-ins were to. A key that repeats under a name
    is one operation, which happened when its first row says.
    """
    labels = list(map(_label, map(_name, rows)))
    places: Iterable[int] = range(len(rows))
    if len(set(keys)) < len(keys):
        firsts: dict[tuple[str, str], int] = {}
        for at, event in enumerate(zip(labels, keys, strict=True)):
            firsts.setdefault(event, at)
        places = firsts.values()
    found: dict[str, list[int]] = {}
    for at in places:
        found.setdefault(labels[at], []).append(at)
    kept = max(PAIRS_KEPT + 1 - len(found), 1)  # no more than can be shown beside the other names
    return GroupPairs(
        by_operation=[
            OperationPairs(
                rows[mine[0]][OPERATION_NAME],
                len(mine),
                [_pair(sign_ins[at], rows[at]) for at in mine[:kept]],
            )
            for mine in found.values()
        ],
        soonest=min(map(sub, map(_time, rows), map(_time, sign_ins))),
        services=target_services_of(resources),
    )


def without_pairs(operations: Iterable[str], resources: Iterable[str]) -> GroupPairs:
    """Return what is told by the names that a group shows, where its traces cannot be read.

    It has no pairs, counts each operation once, and lets none have come soon after a sign-in.
    """
    return GroupPairs(
        [OperationPairs(name, 1, []) for name in operations], HOUR, target_services_of(resources)
    )


def target_services_of(resources: Iterable[str]) -> frozenset[str]:
    """Return which of the rule's services the resources signed into belong to."""
    return frozenset().union(*map(_services_of, resources))


@lru_cache(10_000)
def _services_of(resource: str) -> frozenset[str]:
    return frozenset(
        service for service, words in SERVICE_TERMS.items() if has_any(resource, words)
    )


def _pair(sign_in: SignIn, row: Operation) -> Pair:
    return Pair(
        sign_in[TIME],
        sign_in[RESOURCE_NAME],
        row[TIME],
        row[OPERATION_NAME],
        resource_id(row),
        row[CALLER_ADDRESS],
        row[OPERATION_CORRELATION],
    )
