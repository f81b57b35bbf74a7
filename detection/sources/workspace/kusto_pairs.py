"""What an analyst is shown of the groups that a workspace's cluster found: kql/pairs.kql.

Only groups with something new are shown, and often none is. So the first that is asks about all
groups of its part, and nothing is asked for a part without any.
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
GROUP_KEY_COLUMNS: Final = 3  # of them are the group's key
MAX_SPLITS: Final = (
    32  # of one part, before no half is asked for: a hot identity is alone after ten
)

PairRows = Sequence[Sequence[str]]


class ClusterPairs:
    """The traces of one part's groups, asked for with the first of them."""

    def __init__(
        self, ask: Callable[[range], PairRows], partition: range, counts: Mapping[int, int]
    ) -> None:
        """`ask` gives the rows of some buckets and may raise CutShort, NotThere and SourceError.

        `counts` are the rows that each bucket holds in the log.
        """
        self._ask = ask
        self._counts = counts
        self._waiting = deque([partition])
        self._rows: defaultdict[tuple[str, ...], list[Sequence[str]]] = defaultdict(list)
        self._cuts = 0
        self._problem = "the cluster did not find the group again"

    def of(self, key: GroupKey) -> GroupPairs:
        """Return the traces of one group; raises SourceError if they could not be had."""
        while self._waiting:
            self._read(self._waiting.popleft())
        if key not in self._rows:
            raise SourceError(self._problem)
        try:
            return pairs_of(self._rows[key])
        except (ValueError, TypeError):
            raise SourceError("what the cluster shows of a group cannot be read") from None

    def _read(self, partition: range) -> None:
        """Ask about a partition, or about each half of them where they are too many."""
        try:
            rows = self._ask(partition)
        except PartialResult as error:
            self._cuts += 1
            if self._cuts < MAX_SPLITS and len(partition) > 1:
                self._waiting.extendleft(reversed(split(partition, self._counts)))
                return
            self._problem = f"it is more than an answer holds, or the cluster can do ({error})"
            if self._cuts == MAX_SPLITS:
                self._waiting.clear()
        except (SourceError, TableMissing) as error:
            self._waiting.clear()  # what fails for some buckets fails for the others
            self._problem = str(error)
        else:
            for row in rows:
                self._rows[tuple(row[:GROUP_KEY_COLUMNS])].append(row)


def pairs_of(rows: PairRows) -> GroupPairs:
    """Put the traces of one group together, of which each row is a pair.

    Raises ValueError or TypeError for rows that no cluster gives.
    """
    described = [dict(zip(PAIR_COLUMNS, row, strict=True)) for row in rows]
    by_operation: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for values in sorted(described, key=lambda values: int(values["Place"])):
        by_operation[ascii_lower(values["Operation"])].append(values)
    group = described[0]
    resources = [str(resource) for resource in orjson.loads(group["Services"])]
    return GroupPairs(
        by_operation=[
            OperationPairs(act[0]["Operation"], int(act[0]["Number"]), list(map(_pair, act)))
            for act in by_operation.values()
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
