"""Reads the pairs of groups that the workspace's cluster correlated, with kql/pairs.kql.

Pairs are needed only for groups with new operations, and often there are none. So the first such
group of a part runs one query for all groups of the part, and a part without one runs no query.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from detection.errors import SourceError
from detection.rule.correlate import GroupKey
from detection.rule.kql_text import ascii_lower
from detection.rule.pairs import GroupPairs, OperationPairs, Pair, target_services_of
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.workspace.partitions import split

PAIR_COLUMNS: Final = (
    "Identity",
    "Name",
    "ResourceGroup",
    "Soonest",
    "Services",
    "Number",
    "Place",
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

PairRows = Sequence[Sequence[str]]


class ClusterPairs:
    """The pairs of all groups of one part, read when the first of them is needed."""

    def __init__(
        self, read_rows: Callable[[range], PairRows], partition: range, counts: Mapping[int, int]
    ) -> None:
        """`read_rows` returns a partition's rows, in the order of PAIR_COLUMNS.

        It may raise PartialResult, TableMissing and SourceError. `counts` maps a bucket to its
        number of log rows, by which a partition is split.
        """
        self._read_rows = read_rows
        self._counts = counts
        self._unread = deque([partition])
        self._rows: defaultdict[tuple[str, ...], list[Sequence[str]]] = defaultdict(list)
        self._splits = 0
        self._problem = "the cluster returned no pairs of the group"

    def read_group(self, key: GroupKey) -> GroupPairs:
        """Return the pairs of one group; raises SourceError if they could not be read."""
        while self._unread:
            self._read_partition(self._unread.popleft())
        if key not in self._rows:
            raise SourceError(self._problem)
        try:
            return pairs_of(self._rows[key])
        except (ValueError, TypeError):
            raise SourceError("the pairs in the cluster's answer are unreadable") from None

    def _read_partition(self, partition: range) -> None:
        """Read the pairs of a partition; put back its halves if it exceeds one answer."""
        try:
            rows = self._read_rows(partition)
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


def pairs_of(rows: PairRows) -> GroupPairs:
    """Return the pairs of one group, given its rows, each of which is a pair.

    Raises ValueError or TypeError for malformed rows.
    """
    described = [dict(zip(PAIR_COLUMNS, row, strict=True)) for row in rows]
    by_operation: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for values in sorted(described, key=lambda values: int(values["Place"])):
        by_operation[ascii_lower(values["Operation"])].append(values)
    group = described[0]
    resources = [str(resource) for resource in orjson.loads(group["Services"])]
    return GroupPairs(
        by_operation=[
            OperationPairs(same[0]["Operation"], int(same[0]["Number"]), list(map(_pair, same)))
            for same in by_operation.values()
        ],
        soonest=int(group["Soonest"]),
        services=target_services_of(resources),
    )


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
