"""The sign-ins of one identity under one name, in time order, with queries over ranges of them.

An operation pairs with the sign-ins at positions low <= p < high. The operations of a group cover a
union of such ranges. Distinct sign-ins and resources are counted per range, not per position: a
range may hold 100,000 positions, and 10,000 groups may share it.
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
SCAN_LIMIT = 1000  # up to this many sign-ins are scanned; above it, each resource is looked up


class SignInIndex:
    """Sign-ins in time order, at least one."""

    def __init__(self, rows: list[SignIn]) -> None:
        self.rows = rows
        self.times = [row[TIME] for row in rows]
        self._keys = sign_in_keys(rows)
        self._weights: list[int] | None = None
        self._repeat_positions: list[int] = []
        if len(set(self._keys)) < len(self._keys):
            self._find_repeats()
        self._positions: dict[str, list[int]] = {}

    def distinct(self, ranges: Sequence[Range]) -> int:
        """Return the number of distinct sign-ins in disjoint `ranges`."""
        if self._weights is None:
            return sum(high - low for low, high in ranges)
        weights, repeated = self._weights, self._repeat_positions
        count = sum(weights[high] - weights[low] for low, high in ranges)
        repeated_keys = {
            self._keys[position]
            for low, high in ranges
            for position in repeated[bisect_left(repeated, low) : bisect_left(repeated, high)]
        }
        return count + len(repeated_keys)

    def resources(self, ranges: Sequence[Range], limit: int) -> list[str]:
        """Return the first `limit` distinct resources in disjoint `ranges`, earliest first."""
        if sum(high - low for low, high in ranges) <= SCAN_LIMIT:
            slices = (self.rows[low:high] for low, high in ranges)
            return list(dict.fromkeys(map(RESOURCE_OF, chain.from_iterable(slices))))[:limit]
        if not self._positions:
            for position, row in enumerate(self.rows):
                self._positions.setdefault(row[RESOURCE_NAME], []).append(position)
        firsts = []
        for resource, positions in self._positions.items():
            for low, high in ranges:
                at = bisect_left(positions, low)
                if at < len(positions) and positions[at] < high:
                    firsts.append((positions[at], resource))
                    break
        return [resource for _, resource in sorted(firsts)[:limit]]

    def followers(self, times: Sequence[int], span: int) -> list[int]:
        """Return the positions in sorted `times` that lie at most `span` after some sign-in."""
        found: list[int] = []
        reached = 0
        for time in self.times:
            low = max(reached, bisect_left(times, time))
            reached = max(reached, bisect_left(times, time + span + 1))
            found.extend(range(low, reached))
        return found

    def _find_repeats(self) -> None:
        """Prepare `distinct` for keys that occur more than once.

        An exact repeat of a row has the same time, so every range holds both or neither: the repeat
        gets weight 0, and prefix sums count the rest. A key with several times has weight 0
        everywhere, and `distinct` counts it by its positions (`_repeat_positions`).
        """
        first_at: dict[str, int] = {}
        repeated: set[str] = set()
        for key, time in zip(self._keys, self.times, strict=True):
            if first_at.setdefault(key, time) != time:
                repeated.add(key)
        self._repeat_positions = [p for p, key in enumerate(self._keys) if key in repeated]
        seen: set[str] = set(repeated)
        weights = [0]
        for key in self._keys:
            weights.append(0 if key in seen else 1)
            seen.add(key)
        self._weights = list(accumulate(weights))


def merge_ranges(lows: Sequence[int], highs: Sequence[int]) -> list[Range]:
    """Join ranges with ascending ends into disjoint ones; no range may be empty."""
    # Usually each range begins before the previous one ends, so all of them are one range.
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


# Groups of identities with several names, in memory at one time: 300 MB as findings.
MAX_GROUPS_BY_NAME: Final = 100_000
OPERATIONS_PER_GROUP: Final = 100  # this many operations take as much memory as a group

SignInsByName = dict[str, list[SignIn]]


class IdentityRows(NamedTuple):
    """An identity's sign-ins by name in ASCII lower case, and its operations."""

    sign_ins: SignInsByName
    operations: list[Operation]

    def size(self, folded: Memo[str, str]) -> int:
        """Return the largest possible number of groups; large groups count several times."""
        groups = len({folded[row[RESOURCE_GROUP]] for row in self.operations})
        return len(self.sign_ins) * (groups + len(self.operations) // OPERATIONS_PER_GROUP)


def split_by_name(sign_ins: list[SignIn], folded: Memo[str, str]) -> SignInsByName:
    """Split an identity's sign-ins by name and keep their order."""
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
    """Return the identities whose findings are not split by name: the largest, if any.

    Without their split, the number of groups stays at or below MAX_GROUPS_BY_NAME. Identities with
    one name are never among them: they have at most one group for each operation.
    """
    sizes = [(each.size(folded), name) for name, each in identities if len(each.sign_ins) > 1]
    room, found = MAX_GROUPS_BY_NAME, set[str]()
    for size, identity in sorted(sizes):
        room -= size
        if room < 0:
            found.add(identity)
    return found
