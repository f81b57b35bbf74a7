"""Reads the parts of a window from a Log Analytics workspace.

The filters of clauses 2 and 3 run in the workspace, so only rows that can match are transferred,
and of operations only those of identities that signed in. The rows are counted first. Their
number divides the window into partitions of some identities each. One partition at a time is read
into memory, or is correlated in the workspace's own cluster.
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
from detection.rule.filters import Matched, RuleSettings
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    Operation,
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
    TableProbe,
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

# A partition with more than this many times `rows_per_partition` is correlated in the cluster, if
# the settings allow it.
HOT_PARTITION_FACTOR: Final = 8
ROWS_PER_CLUSTER_QUERY: Final = 200_000  # the answer may name every one of them


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
        """Read through `client`, which the caller opens (`with client:`) and closes.

        `alias` and `exclusions_alias` name the watchlists of the allowlist and the exclusions;
        `sleep` takes seconds. Raises ValueError if no query can hold one of the names.
        """
        self._workspace = LogAnalytics(
            client=client, workspace_id=workspace_id, sleep=sleep, limits=limits
        )
        self._limits = limits
        self._alias, self._exclusions_alias = alias, exclusions_alias
        # Rendered now, so that a bad name fails before anything is read.
        query("allowlist", alias=alias)
        self.context = WorkspaceContext(self._workspace, alias=exclusions_alias)

    def clock(self) -> int:
        """Return the time of the workspace's own clock (ticks)."""
        return read_clock(self._workspace)

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Count the rows that each table received in (since, now] (ticks)."""
        times = {"since": since, "now": now, "examined": examined, "too_late": too_late}
        with self._threads(self._limits.concurrent_queries) as threads:
            futures = [
                threads.submit(count_arrivals, self._workspace, shape, times)
                for shape in LOG_TABLES
            ]
            return reduce(Arrivals.joined, (future.result() for future in futures))

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield a part with the counts of the whole window, then one part for each partition.

        A partition that exceeds one answer is split in two, so that no row is lost.
        """
        queries = WindowQueries(window, now, settings)
        with self._threads(self._limits.concurrent_queries) as threads:
            counts = count_window(self._workspace, queries, self._alias, threads)
        yield counts.operations_without_sign_in()
        rows = counts.rows()
        all_in_cluster = sum(rows.values()) > self._limits.rows_in_process
        max_rows = ROWS_PER_CLUSTER_QUERY if all_in_cluster else self._limits.rows_per_partition

        def size(partition: range) -> int:
            return sum(rows.get(bucket, 0) for bucket in partition)

        # The largest first, while the findings so far need little memory.
        waiting = deque(
            sorted(group_buckets(rows, max_rows), key=size, reverse=True) if counts.sign_ins else ()
        )
        while waiting:
            partition = waiting.popleft()
            try:
                hot = size(partition) > HOT_PARTITION_FACTOR * self._limits.rows_per_partition
                if all_in_cluster or (hot and self._limits.rows_in_process < inf):
                    yield self._correlate_partition(queries, partition, counts)
                else:
                    yield self._read_partition(queries, partition, counts, hot=hot)
            except PartialResult:
                waiting.extendleft(reversed(split(partition, rows)))

    def probe(self, shape: TableShape, now: int, settings: RuleSettings) -> TableProbe:
        """Return the state of one table, by its rows of the last minute, and its newest time."""
        queries = WindowQueries(Window(now - MINUTE, now, Mode.SCHEDULED), now, settings)
        return probe_table(self._workspace, queries, shape)

    def try_queries(self, now: int, settings: RuleSettings) -> list[CheckedQuery]:
        """Run every query over an empty time range; return their results."""
        queries = WindowQueries(Window(now, now, Mode.SCHEDULED), now, settings)
        with self._threads(self._limits.concurrent_queries) as threads:
            checks = all_queries(queries, self._alias, self._exclusions_alias)
            return check_queries(self._workspace, checks, threads)

    def allowlist(self) -> list[str] | None:
        """Return the entries of the allowlist's watchlist; None if the watchlist is missing."""
        return read_allowlist(self._workspace, self._alias).entries

    def tables(
        self, shape: TableShape, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Table]:
        """Yield all rows of the window that the rule may match, with their ingestion times.

        Raises TableMissing if the table does not exist.
        """
        return read_table(self._workspace, WindowQueries(window, now, settings), shape)

    def _read_partition(
        self, queries: WindowQueries, partition: range, counts: WindowCounts, *, hot: bool
    ) -> Logs:
        """Read both tables' rows of a partition, one table after the other if `hot` (large)."""
        expected = {SIGN_IN_TABLE: counts.sign_ins_in(partition)}
        if operations_expected := sum(counts.operations_in(partition)):
            expected[OPERATION_TABLE] = operations_expected
        with self._threads(1 if hot else self._limits.concurrent_queries) as threads:
            reads = [
                threads.submit(read_partition, self._workspace, queries, shape, partition, number)
                for shape, number in expected.items()
            ]
            sign_ins, operations = ([*(read.result() for read in reads), RowsRead([])])[:2]
        return replace(
            counts.logs_without_rows,
            sign_ins=sign_ins.rows,
            operations=operations.rows,
            bytes_read=sign_ins.size + operations.size,
        )

    def _correlate_partition(
        self, queries: WindowQueries, partition: range, counts: WindowCounts
    ) -> Correlated:
        """Correlate a partition in the workspace's cluster."""
        try:
            result = correlate_in_cluster(self._workspace, queries, partition, counts)
        except TableMissing as error:
            raise table_vanished(self._workspace, error) from None
        except PartialResult as error:
            if len(partition) > 1:
                raise
            raise SourceError(
                f"{self._workspace.describe(SIGN_IN_TABLE)}: one identity is too large to be "
                f"correlated in one query of the cluster ({error}): set CORRELATE_IN to python"
            ) from None
        matched, succeeded = counts.operations_in(partition)
        operations: Matched[Operation] = Matched({}, matched=matched, other_success=succeeded)
        return Correlated(
            replace(counts.logs_without_rows, bytes_read=result.size),
            Detection(result.groups, result.sign_ins, operations, counts.allowlist),
        )

    @staticmethod
    def _threads(number: int) -> Threads:
        return Threads(number, "log-analytics")
