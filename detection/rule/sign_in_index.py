"""The sign-ins of one identity under one name, in time order, and questions about ranges of them.

An operation pairs with the sign-ins at positions low <= p < high. A group's operations reach a
union of such ranges, and its distinct sign-ins and its resources are read off those, without
walking through them: a range may hold 100,000 positions, and 10,000 groups may share it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, islice
from operator import itemgetter, le
from typing import Final, NamedTuple

from detection.rule.log_rows import (
    RESOURCE_GROUP,
    RESOURCE_NAME,
    SERVICE_PRINCIPAL_NAME,
    TIME,
    Operation,
    SignIn,
    sign_in_keys,
)
from detection.rule.memo import Memo

RESOURCE_OF = itemgetter(RESOURCE_NAME)

Range = tuple[int, int]
SCAN_LIMIT = 1000  # sign-ins that are looked at one by one; past that, each resource is looked up


class SignInIndex:
    """Sign-ins in time order, at least one."""

    def __init__(self, rows: list[SignIn]) -> None:
        self.rows = rows
        self.times = [row[TIME] for row in rows]
        self._keys = sign_in_keys(rows)
        self._weights: list[int] | None = None
        self._stretched: list[int] = []
        if len(set(self._keys)) < len(self._keys):
            self._find_repeats()
        self._places: dict[str, list[int]] = {}

    def distinct(self, ranges: Sequence[Range]) -> int:
        """Return how many different sign-ins lie in disjoint `ranges`."""
        if self._weights is None:
            return sum(high - low for low, high in ranges)
        weights, stretched = self._weights, self._stretched
        count = sum(weights[high] - weights[low] for low, high in ranges)
        again = {
            self._keys[place]
            for low, high in ranges
            for place in stretched[bisect_left(stretched, low) : bisect_left(stretched, high)]
        }
        return count + len(again)

    def resources(self, ranges: Sequence[Range], limit: int) -> list[str]:
        """Return the first `limit` different resources in disjoint `ranges`, earliest first."""
        if sum(high - low for low, high in ranges) <= SCAN_LIMIT:
            slices = (self.rows[low:high] for low, high in ranges)
            return list(dict.fromkeys(map(RESOURCE_OF, chain.from_iterable(slices))))[:limit]
        if not self._places:
            for place, row in enumerate(self.rows):
                self._places.setdefault(row[RESOURCE_NAME], []).append(place)
        firsts = []
        for resource, places in self._places.items():
            for low, high in ranges:
                at = bisect_left(places, low)
                if at < len(places) and places[at] < high:
                    firsts.append((places[at], resource))
                    break
        return [resource for _, resource in sorted(firsts)[:limit]]

    def followers(self, times: Sequence[int], span: int) -> list[int]:
        """Return the positions in sorted `times` that some sign-in precedes by at most `span`."""
        found: list[int] = []
        reached = 0
        for time in self.times:
            low = max(reached, bisect_left(times, time))
            reached = max(reached, bisect_left(times, time + span + 1))
            found.extend(range(low, reached))
        return found

    def _find_repeats(self) -> None:
        """Prepare `distinct` for keys that occur more than once.

        A row repeated as it is has the time of its first, so every range holds both or neither:
        the repeat weighs nothing, and running totals answer. A key at several times (`stretched`)
        is counted by name.
        """
        first_at: dict[str, int] = {}
        stretched: set[str] = set()
        for key, time in zip(self._keys, self.times, strict=True):
            if first_at.setdefault(key, time) != time:
                stretched.add(key)
        self._stretched = [p for p, key in enumerate(self._keys) if key in stretched]
        seen: set[str] = set(stretched)
        weights = [0]
        for key in self._keys:
            weights.append(0 if key in seen else 1)
            seen.add(key)
        self._weights = list(accumulate(weights))


def merge_ranges(lows: Sequence[int], highs: Sequence[int]) -> list[Range]:
    """Join ranges whose ends only grow into disjoint ones; empty ranges are not allowed."""
    # Most often each begins before the last one ends, and they are one.
    if all(map(le, islice(lows, 1, None), highs)):
        return [(lows[0], highs[-1])]
    merged: list[Range] = []
    start, end = lows[0], highs[0]
    for low, high in zip(lows, highs, strict=True):
        if low > end:
            merged.append((start, end))
            start = low
        end = high
    merged.append((start, end))
    return merged


MAX_GROUPS_BY_NAME: Final = (
    100_000  # of identities with several names, at one time: 300 MB as findings
)
OPERATIONS_PER_GROUP: Final = 100  # operations that take as much memory as a group that they are in

SignInsByName = dict[str, list[SignIn]]


class IdentityRows(NamedTuple):
    """An identity's sign-ins by name (folded), and its operations."""

    sign_ins: SignInsByName
    operations: list[Operation]

    def size(self, folded: Memo[str, str]) -> int:
        """Return how many groups these can make at most; large ones count as several."""
        groups = len({folded[row[RESOURCE_GROUP]] for row in self.operations})
        return len(self.sign_ins) * (groups + len(self.operations) // OPERATIONS_PER_GROUP)


def split_by_name(sign_ins: list[SignIn], folded: Memo[str, str]) -> SignInsByName:
    """Split an identity's sign-ins by name, in order."""
    names = {row[SERVICE_PRINCIPAL_NAME] for row in sign_ins}
    if len(names) == 1:
        return {folded[names.pop()]: sign_ins}
    found: defaultdict[str, list[SignIn]] = defaultdict(list)
    for row in sign_ins:
        found[folded[row[SERVICE_PRINCIPAL_NAME]]].append(row)
    return found


def identities_with_too_many_names(
    identities: Iterable[tuple[str, IdentityRows]], folded: Memo[str, str]
) -> set[str]:
    """Return the identities whose findings are not told apart by name: the largest, if any.

    Those with one name are never among them: their groups are no more than their operations.
    """
    sizes = [(each.size(folded), name) for name, each in identities if len(each.sign_ins) > 1]
    room, found = MAX_GROUPS_BY_NAME, set[str]()
    for size, identity in sorted(sizes):
        room -= size
        if room < 0:
            found.add(identity)
    return found
