"""Reads the pairs of groups that the workspace's cluster correlated, with kql/pairs.kql.

Pairs are needed only for groups with new operations, and often there are none. So the first such
group of a part runs one query for all groups of the part, and a part without one runs no query.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from detection.errors import SourceError
from detection.rule.correlate import GroupKey, Key, ReportedKeys
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import joined
from detection.rule.pairs import OperationPairs, Pair
from detection.rule.reported import hash_key
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.workspace.partitions import split

PAIR_COLUMNS: Final = (
    "Identity",
    "Name",
    "ResourceGroup",
    "Number",
    "LatestTime",
    "SignedIn",
    "Resource",
    "Operated",
    "Operation",
    "ResourceId",
    "CallerIpAddress",
    "CorrelationId",
)
GROUP_KEY_COLUMNS: Final = 3  # the first three are the group's key
MAX_SPLITS: Final = 32  # per part; ten are enough to isolate a single bucket
# In one query: 700,000 characters, less than half of the length that was refused (see
# MAX_EXCLUDED_ADDRESSES).
MAX_REPORTED: Final = 20_000

PairRows = Sequence[Sequence[str]]


class ClusterPairs:
    """The pairs of all groups of one part, read when the first of them is needed."""

    def __init__(
        self,
        read_rows: Callable[[range, tuple[str, ...]], PairRows],
        partition: range,
        counts: Mapping[int, int],
    ) -> None:
        """`read_rows` returns a partition's rows, in the order of PAIR_COLUMNS.

        Its second argument names the operations to leave out. It may raise PartialResult,
        TableMissing and SourceError. `counts` maps a bucket to its number of log rows, by which a
        partition is split.
        """
        self._read_rows = read_rows
        self._counts = counts
        self._partition = partition
        self._reported: ReportedKeys | None = None
        self._left_out: tuple[str, ...] = ()
        self._unread = deque[range]()
        self._rows: defaultdict[tuple[str, ...], list[Sequence[str]]] = defaultdict(list)
        self._splits = 0
        self._problem = ""

    def read_group(self, key: GroupKey, reported: ReportedKeys) -> list[OperationPairs]:
        """Return the pairs of one group without the reported operations of any group.

        Raises SourceError if they could not be read.
        """
        self._begin(reported)
        while self._unread:
            self._read_partition(self._unread.popleft())
        if key not in self._rows:
            raise SourceError(self._problem)
        try:
            return pairs_of(self._rows[key])
        except (ValueError, TypeError):
            raise SourceError("the pairs in the cluster's answer are unreadable") from None

    def _begin(self, reported: ReportedKeys) -> None:
        """Plan the reading of all groups, unless they were read with the same object `reported`."""
        if reported is self._reported:
            return
        self._reported = reported
        names = tuple(
            sorted(key_in_group(at, key) for at, keys in reported.items() for key in keys)
        )
        self._left_out = names
        self._unread = deque([self._partition])
        self._rows.clear()
        self._splits = 0
        self._problem = "the cluster returned no pairs of the group"
        if len(names) > MAX_REPORTED:
            self._unread.clear()
            self._problem = (
                f"{len(names)} operations are reported already, and one query can leave out "
                f"{MAX_REPORTED}"
            )

    def _read_partition(self, partition: range) -> None:
        """Read the pairs of a partition; put back its halves if it exceeds one answer."""
        try:
            rows = self._read_rows(partition, self._left_out)
        except PartialResult as error:
            self._splits += 1
            if self._splits < MAX_SPLITS and len(partition) > 1:
                self._unread.extendleft(reversed(split(partition, self._counts)))
                return
            self._problem = f"the pairs exceed one answer, or the limits of the cluster ({error})"
            if self._splits == MAX_SPLITS:
                self._unread.clear()
        except (SourceError, TableMissing) as error:
            self._unread.clear()  # other partitions would fail in the same way
            self._problem = str(error)
        else:
            for row in rows:
                self._rows[tuple(row[:GROUP_KEY_COLUMNS])].append(row)


def key_in_group(group: GroupKey, key: Key) -> str:
    """Name an operation of a group as pairs.kql does: two groups may hold one operation."""
    return hash_key(hash_key(key).hex() + joined(group)).hex()


def pairs_of(rows: PairRows) -> list[OperationPairs]:
    """Return the pairs of one group, given its rows, each of which is a pair.

    Raises ValueError or TypeError for malformed rows.
    """
    by_operation: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        values = dict(zip(PAIR_COLUMNS, row, strict=True))
        by_operation[ascii_lower(values["Operation"])].append(values)
    found = []
    for same in by_operation.values():
        pairs = sorted(map(_pair, same), key=lambda pair: pair.order)
        number, latest = int(same[0]["Number"]), int(same[0]["LatestTime"])
        found.append(OperationPairs(pairs[0].operation, number, latest, pairs))
    return sorted(found, key=lambda each: each.pairs[0].order)


def _pair(values: Mapping[str, str]) -> Pair:
    return Pair(
        int(values["SignedIn"]),
        values["Resource"],
        int(values["Operated"]),
        values["Operation"],
        values["ResourceId"],
        values["CallerIpAddress"],
        values["CorrelationId"],
    )
