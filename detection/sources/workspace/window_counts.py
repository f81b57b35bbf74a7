"""Runs the queries that come before any row is read: counts, newest times, allowlist, clock.

Each answer is a summary, so it is small however large the workspace is.
"""

from collections.abc import Mapping, Sized
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from detection.kql.render import Query, query
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection
from detection.rule.filters import Matched
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    SourceState,
    TableShape,
)
from detection.rule.ticks import DAY, parse_time
from detection.sources import Arrivals, Correlated
from detection.sources.log_analytics.client import LogAnalytics
from detection.sources.workspace.counts import (
    OperationCounts,
    TableCounter,
    count_buckets,
    single_row,
    summary_rows,
    table_error,
)
from detection.sources.workspace.queries import WindowQueries

LOG_TABLES: Final = (SIGN_IN_TABLE, OPERATION_TABLE)
# Not a table, but queried like one.
CLOCK: Final = TableShape("clock", ("Now",), required=1, shared=0, remedy="", timed=False)
ARRIVAL_COLUMNS: Final = ("Earliest", "Late", "TooLate")
# If a row arrives more than two days late, Azure Monitor sets its TimeGenerated to the time of
# arrival: learn.microsoft.com/azure/azure-monitor/logs/log-standard-columns. The third day is a
# margin.
RESTAMPED_AFTER: Final = 3 * DAY


class TableProbe(NamedTuple):
    """The state of one table, and the time of its newest row (ticks); None without a row."""

    state: SourceState
    latest: int | None


class AllowlistRead(NamedTuple):
    """The entries of the allowlist's watchlist, None if it is missing, and the answer's bytes."""

    entries: list[str] | None
    size: int


class StatusCounts(NamedTuple):
    """Numbers of operations by status (D8), as in OperationCounts."""

    matched: int
    succeeded: int


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The number of rows of each bucket, and the values that all parts of the window share.

    `logs_without_rows` holds the allowlist, the tables' states and their newest times.
    """

    sign_ins: Mapping[int, int]
    operations: Mapping[int, OperationCounts]
    logs_without_rows: Logs
    allowlist: Allowlist

    def rows(self) -> dict[int, int]:
        """Return the number of rows to read of each bucket that has any."""
        rows = dict(self.sign_ins)
        for bucket, counts in self.operations.items():
            rows[bucket] = rows.get(bucket, 0) + counts.matched + counts.succeeded
        return rows

    def operations_without_sign_in(self) -> Correlated:
        """Return the part with the operations that cannot pair: they are counted and not read."""
        counts = self.operations.values()
        operations: Matched[Any] = Matched(
            {},
            matched=sum(bucket.without_sign_in_matched for bucket in counts),
            other_success=sum(bucket.without_sign_in_succeeded for bucket in counts),
            without_caller=sum(bucket.without_caller for bucket in counts),
        )
        return Correlated(
            self.logs_without_rows,
            Detection([], Matched({}, matched=0), operations, self.allowlist),
        )

    def sign_ins_in(self, partition: range) -> int:
        """Return the number of sign-ins of a partition."""
        return sum(self.sign_ins.get(bucket, 0) for bucket in partition)

    def operations_in(self, partition: range) -> StatusCounts:
        """Return the numbers of operations of a partition whose identities signed in."""
        counts = self._operation_counts(partition)
        return StatusCounts(
            sum(bucket.matched for bucket in counts), sum(bucket.succeeded for bucket in counts)
        )

    def all_operations_in(self, partition: range) -> int:
        """Return the number of operations of a partition, also of identities without a sign-in."""
        without_sign_in = sum(
            bucket.without_sign_in_matched + bucket.without_sign_in_succeeded
            for bucket in self._operation_counts(partition)
        )
        return sum(self.operations_in(partition)) + without_sign_in

    def _operation_counts(self, partition: range) -> list[OperationCounts]:
        return [self.operations[bucket] for bucket in partition if bucket in self.operations]


def count_window(
    workspace: LogAnalytics, queries: WindowQueries, alias: str, threads: Executor
) -> WindowCounts:
    """Run all queries about the window as a whole, as many at once as there are threads.

    `alias` names the allowlist's watchlist. A table without matching rows is Empty only if it has
    received no other row since the window's start.
    """
    allowlist_future = threads.submit(read_allowlist, workspace, alias)
    counter = TableCounter(workspace, queries, threads)
    latest_futures = {
        shape: threads.submit(_latest, workspace, queries, shape) for shape in LOG_TABLES
    }
    counts = dict(zip(LOG_TABLES, counter.result(), strict=True))
    allowlist, size = allowlist_future.result()
    latest = {shape.name: future.result() for shape, future in latest_futures.items()}
    states = {ALLOWLIST_TABLE.name: _state(allowlist)}
    for shape, table in counts.items():
        has_new_rows = (latest[shape.name] or queries.window.start) > queries.window.start
        states[shape.name] = _state(table.by_bucket, has_other_rows=has_new_rows)
    sign_ins, operations = (counts[shape].by_bucket or {} for shape in LOG_TABLES)
    return WindowCounts(
        sign_ins={bucket: matched for bucket, (matched,) in sign_ins.items()},
        operations={bucket: OperationCounts(*row) for bucket, row in operations.items()},
        logs_without_rows=Logs(
            sign_ins=[],
            operations=[],
            allowlist=allowlist or [],
            states=states,
            latest=latest,
            bytes_read=size + sum(table.size for table in counts.values()),
        ),
        allowlist=Allowlist.of(allowlist or []),
    )


def count_arrivals(
    workspace: LogAnalytics, shape: TableShape, times: Mapping[str, int]
) -> Arrivals:
    """Count the rows that one table received; none if it is missing. Times are ticks."""
    rows, _ = summary_rows(workspace, arrivals_query(shape, times), shape, *ARRIVAL_COLUMNS)
    if rows is None:
        return Arrivals(missing=frozenset({shape.name}))
    earliest, late, too_late = single_row(workspace, shape, rows)
    try:
        return Arrivals(parse_time(earliest) if earliest else None, int(late), int(too_late))
    except ValueError:
        raise table_error(workspace, shape, "the summary of its new rows is unreadable") from None


def arrivals_query(shape: TableShape, times: Mapping[str, int]) -> Query:
    """Return the query that counts the rows which one table received."""
    oldest = times["too_late"] - RESTAMPED_AFTER
    return query("arrivals", table=shape, oldest=oldest, **times)


def read_clock(workspace: LogAnalytics) -> int:
    """Return the time of the workspace's own clock (ticks)."""
    rows, _ = summary_rows(workspace, query("clock"), CLOCK, *CLOCK.columns)
    (now,) = single_row(workspace, CLOCK, rows or [])
    try:
        return parse_time(now)
    except ValueError:
        raise table_error(workspace, CLOCK, "the answer is not a time") from None


def probe_table(workspace: LogAnalytics, queries: WindowQueries, shape: TableShape) -> TableProbe:
    """Return the state of one table, and the time of its newest row of the last day."""
    # Query this table alone, so that a problem with the other one is not reported for this one.
    rows, _ = count_buckets(workspace, queries.count(shape, signed_in=False), shape)
    latest = _latest(workspace, queries, shape)
    return TableProbe(_state(rows, has_other_rows=latest is not None), latest)


def read_allowlist(workspace: LogAnalytics, alias: str) -> AllowlistRead:
    """Read the watchlist of the allowlist."""
    rows, size = summary_rows(
        workspace, query("allowlist", alias=alias), ALLOWLIST_TABLE, *ALLOWLIST_TABLE.columns
    )
    return AllowlistRead(None if rows is None else [entry for (entry,) in rows], size)


def _latest(workspace: LogAnalytics, queries: WindowQueries, shape: TableShape) -> int | None:
    """Return the time (ticks) of the table's newest row; None without one."""
    rows, _ = summary_rows(workspace, queries.latest(shape), shape, "Latest")
    if rows is None:
        return None
    (latest,) = single_row(workspace, shape, rows)
    try:
        return parse_time(latest) if latest else None
    except ValueError:
        raise table_error(workspace, shape, "the time of its newest row is unreadable") from None


def _state(rows: Sized | None, *, has_other_rows: bool = False) -> SourceState:
    """Return a table's state: Missing for no table, Empty if it has no rows of any kind."""
    if rows is None:
        return SourceState.MISSING
    return SourceState.OK if rows or has_other_rows else SourceState.EMPTY
