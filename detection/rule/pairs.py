"""The pairs of a group that score and evidence need: the earliest of each operation name.

The rule itself never forms pairs. Score and evidence need only these, so a query in the workspace,
which returns no log rows, can supply them too: for each group and operation name (D3), the number
of distinct operations not reported before, and the earliest of them, each with the latest sign-in
at or before it. The evidence shows PAIRS_KEPT pairs of a finding and one pair of every name before
a second pair of any name. So the earliest PAIRS_KEPT + 1 - n operations of each of n names are
enough, but at least one of each.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from detection.rule.kql_text import ascii_lower
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

PAIRS_KEPT: Final = 10  # of a group with one operation name; with more names, fewer of each

_name = itemgetter(OPERATION_NAME)
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

    @property
    def order(self) -> tuple[int, str, str, str, str]:
        """The place of a pair among those of its operation name; kql/pairs.kql sorts alike."""
        return (
            self.operated,
            self.operation,
            self.caller_address,
            self.resource_id,
            self.correlation_id,
        )


_order = attrgetter("order")


class OperationPairs(NamedTuple):
    """An operation name in a group, as first spelt.

    `number` counts its distinct operations, `latest` is the time of the last (ticks), and `pairs`
    are the earliest, in their order.
    """

    operation: str
    number: int
    latest: int
    pairs: Sequence[Pair]


def pairs_kept(names: int) -> int:
    """Return how many pairs of each operation name are kept if a finding has `names` of them."""
    return max(PAIRS_KEPT + 1 - names, 1)


def earliest(pairs: Iterable[Pair], number: int) -> list[Pair]:
    """Return the first pairs in their order."""
    return sorted(pairs, key=_order)[:number]


def group_pairs(
    rows: Sequence[Operation],
    keys: Sequence[str],
    sign_ins: Sequence[SignIn],
    reported: Collection[str | bytes] = (),
) -> list[OperationPairs]:
    """Select the pairs of a group from its operations in time order, by operation name.

    `keys` and `sign_ins` hold each operation's key and its latest sign-in at or before it.
    Operations whose key is `reported` are left out. Rows with one name and one key are one
    operation; its first row counts.
    """
    labels = list(map(_label, map(_name, rows)))
    places: Iterable[int] = range(len(rows))
    if reported or len(set(keys)) < len(keys):
        firsts: dict[tuple[str, str], int] = {}
        for at, event in enumerate(zip(labels, keys, strict=True)):
            if event[1] not in reported:
                firsts.setdefault(event, at)
        places = firsts.values()
    found: dict[str, list[int]] = {}
    for at in places:
        found.setdefault(labels[at], []).append(at)
    kept = pairs_kept(len(found))

    def selected(mine: list[int]) -> OperationPairs:
        # Of operations at the time of the last that is kept, their order decides.
        last = rows[mine[min(kept, len(mine)) - 1]][TIME]
        pairs: list[Pair] = []
        for at in mine:
            if len(pairs) >= kept and rows[at][TIME] > last:
                break
            pairs.append(_pair(sign_ins[at], rows[at]))
        pairs = earliest(pairs, kept)
        return OperationPairs(pairs[0].operation, len(mine), rows[mine[-1]][TIME], pairs)

    return sorted(map(selected, found.values()), key=lambda each: each.pairs[0].order)


def without_pairs(operations: Iterable[str], at: int) -> list[OperationPairs]:
    """Return a substitute for a group whose pairs cannot be read, from the names in its finding.

    It has no pairs and counts each operation once, at the time `at` (ticks).
    """
    return [OperationPairs(name, 1, at, []) for name in operations]


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
