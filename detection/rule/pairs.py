"""The pairs of a group that score and evidence need: the earliest of each operation name.

The rule itself never forms pairs. Score and evidence need only these, so a query in the workspace,
which returns no log rows, can supply them too: for each group and operation name (D3), the number
of distinct operations, and the earliest of them, each with the latest sign-in at or before it. The
evidence shows PAIRS_KEPT pairs of a group and one pair of every name before a second pair
of any name. So the earliest PAIRS_KEPT + 1 - n operations of each of n names are enough, but at
least one of each.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter, sub
from typing import Final, NamedTuple

from detection.rule.filters import TARGET_SERVICES
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

PAIRS_KEPT: Final = 10  # of a group with one operation name; with more names, fewer of each

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
    """An operation name in a group, as first spelt; `number` counts its distinct operations."""

    operation: str
    number: int
    pairs: Sequence[Pair]


class GroupPairs(NamedTuple):
    """The pairs of a group, by operation name.

    `soonest` is the shortest time (ticks) between a sign-in and an operation, `services` holds the
    target services that the identity signed in to.
    """

    by_operation: Sequence[OperationPairs]
    soonest: int
    services: frozenset[str]


def group_pairs(
    rows: Sequence[Operation], keys: Sequence[str], sign_ins: Sequence[SignIn], resources: list[str]
) -> GroupPairs:
    """Select the pairs of a group from its operations in time order.

    `keys` and `sign_ins` hold each operation's key and its latest sign-in at or before it,
    `resources` all resources that the group's sign-ins name. Rows with one name and one key are
    one operation; its first row counts.
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
    kept = max(PAIRS_KEPT + 1 - len(found), 1)
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
    """Return a substitute for a group whose pairs cannot be read, from the names in its finding.

    It has no pairs and counts each operation once.
    """
    # An hour is too long to score points for haste, so the unread pairs add none.
    return GroupPairs(
        [OperationPairs(name, 1, []) for name in operations], HOUR, target_services_of(resources)
    )


def target_services_of(resources: Iterable[str]) -> frozenset[str]:
    """Return the target services that the resources belong to."""
    return frozenset().union(*map(_services_of, resources))


@lru_cache(10_000)
def _services_of(resource: str) -> frozenset[str]:
    return frozenset(
        service for service, terms in TARGET_SERVICES.items() if has_any(resource, terms)
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
