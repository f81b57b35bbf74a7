"""A Log Analytics workspace: what is asked of it, and how the answers become a window's parts.

The filters of clauses 2 and 3 run in the workspace, so only rows that can take part travel, and of
operations only those of identities that signed in. How many there are is asked first: by that a
window is cut into parts of some identities each, of which one is in memory at a time, or is left
to the workspace's own cluster to correlate.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import inf
from typing import TYPE_CHECKING, Final

from detection.errors import SourceError
from detection.kql.render import query
from detection.rule.correlate import Detection
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.filters import (
    Matched,
    RuleSettings,
)
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    Operation,
    SourceState,
    TableShape,
)
from detection.rule.ticks import MINUTE
from detection.sources import Arrivals, Correlated
from detection.sources.decode.table import Table
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import Limits, LogAnalytics, Sleep
from detection.sources.workspace.context import WorkspaceContext
from detection.sources.workspace.kusto_correlation import correlate_in_cluster
from detection.sources.workspace.partitions import group_buckets, split
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.query_checks import CheckedQuery, all_queries, check_queries
from detection.sources.workspace.read_rows import (
    RowsRead,
    read_partition,
    read_table,
    table_vanished,
)
from detection.sources.workspace.window_counts import (
    LOG_TABLES,
    WindowCounts,
    count_arrivals,
    count_window,
    probe_table,
    read_allowlist,
    read_clock,
)
from detection.threads import Threads
from detection.window import Mode, Window

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

HOT_PARTITION_FACTOR: Final = (
    8  # times what is read at once: a bucket with more is the cluster's, if that may be
)
ROWS_PER_CLUSTER_QUERY: Final = (
    200_000  # rows correlated there by one query, whose answer may name each
)


class WorkspaceSource:
    """A LogSource over one workspace."""

    def __init__(
        self,
        *,
        client: "LogsQueryClient",
        workspace_id: str,
        alias: str = ALLOWLIST_TABLE.name,
        exclusions_alias: str = EXCLUSIONS_TABLE.name,
        sleep: Sleep = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        """Read through `client`, which the caller has opened (`with client:`) and will close.

        `alias` and `exclusions_alias` name watchlists. Raises ValueError for a name that no query
        can hold.
        """
        self._workspace = LogAnalytics(
            client=client, workspace_id=workspace_id, sleep=sleep, limits=limits
        )
        self._limits = limits
        self._alias, self._exclusions_alias = alias, exclusions_alias
        query("allowlist", alias=alias)
        self.context = WorkspaceContext(self._workspace, alias=exclusions_alias)

    def clock(self) -> int:
        """Ask the workspace for the time."""
        return read_clock(self._workspace)

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Ask each table what it took in during (since, now]."""
        moments = {"since": since, "now": now, "examined": examined, "too_late": too_late}
        with self._threads(self._limits.concurrent_queries) as threads:
            asked = [
                threads.submit(count_arrivals, self._workspace, shape, moments)
                for shape in LOG_TABLES
            ]
            return reduce(Arrivals.joined, (future.result() for future in asked))

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield first what is known of the window as a whole, then its rows or what they come to.

        A part that turns out to be more than an answer holds is cut in two, so that nothing is
        left out.
        """
        queries = WindowQueries(window, now, settings)
        with self._threads(self._limits.concurrent_queries) as threads:
            known = count_window(self._workspace, queries, self._alias, threads)
        yield known.operations_without_sign_in()
        rows = known.rows()
        everything = sum(rows.values()) > self._limits.rows_in_process
        most = ROWS_PER_CLUSTER_QUERY if everything else self._limits.rows_per_partition

        def size(partition: range) -> int:
            return sum(rows.get(bucket, 0) for bucket in partition)

        # The largest first, while what was found so far takes little room.
        cuts = sorted(group_buckets(rows, most), key=size, reverse=True) if known.sign_ins else []
        waiting = deque(cuts)
        while waiting:
            partition = waiting.popleft()
            try:
                hot = size(partition) > HOT_PARTITION_FACTOR * self._limits.rows_per_partition
                if everything or (hot and self._limits.rows_in_process < inf):
                    yield self._correlated(queries, partition, known)
                else:
                    yield self._read(queries, partition, known, hot=hot)
            except PartialResult:
                waiting.extendleft(reversed(split(partition, rows)))

    def probe(
        self, shape: TableShape, now: int, settings: RuleSettings
    ) -> tuple[SourceState, int | None]:
        """Count the last minute's rows of one table; return its state and newest row's time."""
        queries = WindowQueries(Window(now - MINUTE, now, Mode.SCHEDULED), now, settings)
        return probe_table(self._workspace, queries, shape)

    def try_queries(self, now: int, settings: RuleSettings) -> list[CheckedQuery]:
        """Ask every query about a time without rows; return how each went."""
        queries = WindowQueries(Window(now, now, Mode.SCHEDULED), now, settings)
        with self._threads(self._limits.concurrent_queries) as threads:
            every = all_queries(queries, self._alias, self._exclusions_alias)
            return check_queries(self._workspace, every, threads)

    def allowlist(self) -> list[str] | None:
        """Return the watchlist's entries, None where it is missing."""
        return read_allowlist(self._workspace, self._alias)[0]

    def tables(
        self, shape: TableShape, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Table]:
        """Yield all rows of a table that the rule could take, with the times when they came.

        Raises NotThere if the table is missing.
        """
        return read_table(self._workspace, WindowQueries(window, now, settings), shape)

    def _read(
        self, queries: WindowQueries, partition: range, known: WindowCounts, *, hot: bool
    ) -> Logs:
        """Read both tables' rows of a partition, at the same time unless they are very many."""
        operations_there = sum(known.operations_in(partition))
        counted = {SIGN_IN_TABLE: known.sign_ins_in(partition)}
        counted |= {OPERATION_TABLE: operations_there} if operations_there else {}
        with self._threads(1 if hot else self._limits.concurrent_queries) as threads:
            reads = [
                threads.submit(read_partition, self._workspace, queries, shape, partition, number)
                for shape, number in counted.items()
            ]
            sign_ins, operations = ([*(read.result() for read in reads), RowsRead([])])[:2]
        return replace(
            known.about,
            sign_ins=sign_ins.rows,
            operations=operations.rows,
            bytes_read=sign_ins.size + operations.size,
        )

    def _correlated(
        self, queries: WindowQueries, partition: range, known: WindowCounts
    ) -> Correlated:
        """Let the cluster correlate some buckets."""
        try:
            groups, sign_ins, size = correlate_in_cluster(
                self._workspace, queries, partition, known
            )
        except TableMissing as error:
            raise table_vanished(self._workspace, error) from None
        except PartialResult as error:
            if len(partition) > 1:
                raise
            raise SourceError(
                f"{self._workspace.where(SIGN_IN_TABLE)}: one identity is more than the cluster "
                f"can correlate in one query ({error}): set CORRELATE_IN to python"
            ) from None
        matched, succeeded = known.operations_in(partition)
        operations: Matched[Operation] = Matched({}, matched=matched, other_success=succeeded)
        return Correlated(
            replace(known.about, bytes_read=size),
            Detection(groups, sign_ins, operations, known.allowlist),
        )

    @staticmethod
    def _threads(number: int) -> Threads:
        return Threads(number, "log-analytics")
