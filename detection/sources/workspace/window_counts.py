"""What is asked of a workspace before any row is read: how much there is, and what is there.

Each answer is a table summed up, so it is small however much the workspace holds.
"""

from collections.abc import Mapping, Sized
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

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
    TableCounts,
    count_buckets,
    single_row,
    summary_rows,
    table_error,
)
from detection.sources.workspace.queries import WindowQueries

LOG_TABLES: Final = (SIGN_IN_TABLE, OPERATION_TABLE)
# Not a table, but asked like one.
CLOCK: Final = TableShape("clock", ("Now",), required=1, shared=0, remedy="", timed=False)
ARRIVAL_COLUMNS: Final = ("Earliest", "Late", "TooLate")
# A row that comes in more than two days after its time is given the time when it came; a third day
# is for good measure: learn.microsoft.com/azure/azure-monitor/logs/log-standard-columns.
RESTAMPED_AFTER: Final = 3 * DAY


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """How many rows each bucket holds, and what every part of the window has in common."""

    sign_ins: Mapping[int, int]
    operations: Mapping[int, OperationCounts]
    about: Logs  # none of the rows
    allowlist: Allowlist

    def rows(self) -> dict[int, int]:
        """Return how many rows each bucket would give."""
        rows = dict(self.sign_ins)
        for bucket, there in self.operations.items():
            rows[bucket] = rows.get(bucket, 0) + there.matched + there.succeeded
        return rows

    def operations_without_sign_in(self) -> Correlated:
        """Return the part of the operations that pair with nothing: they are only counted."""
        matched = sum(there.without_sign_in_matched for there in self.operations.values())
        succeeded = sum(there.without_sign_in_succeeded for there in self.operations.values())
        operations: Matched[Any] = Matched(
            {},
            matched=matched,
            other_success=succeeded,
            without_caller=sum(there.without_caller for there in self.operations.values()),
        )
        return Correlated(
            self.about, Detection([], Matched({}, matched=0), operations, self.allowlist)
        )

    def sign_ins_in(self, partition: range) -> int:
        """Count the sign-ins of some buckets."""
        return sum(self.sign_ins.get(bucket, 0) for bucket in partition)

    def operations_in(self, partition: range) -> tuple[int, int]:
        """Count the operations of some buckets whose identities signed in, by status (D8)."""
        there = [self.operations[bucket] for bucket in partition if bucket in self.operations]
        return sum(one.matched for one in there), sum(one.succeeded for one in there)

    def all_operations_in(self, partition: range) -> int:
        """Count the operations of a partition, strangers' too."""
        there = [self.operations[bucket] for bucket in partition if bucket in self.operations]
        strangers = sum(
            one.without_sign_in_matched + one.without_sign_in_succeeded for one in there
        )
        return sum(self.operations_in(partition)) + strangers


def count_window(
    workspace: LogAnalytics, queries: WindowQueries, alias: str, threads: Executor
) -> WindowCounts:
    """Ask everything at once, as far as the threads go; `alias` names the watchlist.

    A table without rows that can take part is empty only if nothing else came in since the
    window's start either.
    """
    listing = threads.submit(read_allowlist, workspace, alias)
    counting = TableCounts(workspace, queries, threads)
    newest = {shape: threads.submit(_latest, workspace, queries, shape) for shape in LOG_TABLES}
    counts = dict(zip(LOG_TABLES, counting.result(), strict=True))
    allowlist, size = listing.result()
    latest = {shape.name: future.result() for shape, future in newest.items()}
    states = {ALLOWLIST_TABLE.name: _state(allowlist)}
    for shape, (rows, _) in counts.items():
        alive = (latest[shape.name] or queries.window.start) > queries.window.start
        states[shape.name] = _state(rows, alive=alive)
    sign_ins, operations = (counts[shape][0] or {} for shape in LOG_TABLES)
    return WindowCounts(
        sign_ins={bucket: matched for bucket, (matched,) in sign_ins.items()},
        operations={bucket: OperationCounts(*row) for bucket, row in operations.items()},
        about=Logs(
            sign_ins=[],
            operations=[],
            allowlist=allowlist or [],
            states=states,
            latest=latest,
            bytes_read=size + sum(size for _, size in counts.values()),
        ),
        allowlist=Allowlist.of(allowlist or []),
    )


def count_arrivals(
    workspace: LogAnalytics, shape: TableShape, moments: Mapping[str, int]
) -> Arrivals:
    """Return what one table took in; a missing one takes in nothing."""
    rows, _ = summary_rows(workspace, arrivals_query(shape, moments), shape, *ARRIVAL_COLUMNS)
    if rows is None:
        return Arrivals(missing=frozenset({shape.name}))
    earliest, late, too_late = single_row(workspace, shape, rows)
    try:
        return Arrivals(parse_time(earliest) if earliest else None, int(late), int(too_late))
    except ValueError:
        raise table_error(workspace, shape, "what arrived in it cannot be read") from None


def arrivals_query(shape: TableShape, moments: Mapping[str, int]) -> Query:
    """Ask what came into one table."""
    oldest = moments["too_late"] - RESTAMPED_AFTER
    return query("arrivals", table=shape, oldest=oldest, **moments)


def read_clock(workspace: LogAnalytics) -> int:
    """Return the time by the workspace's own clock."""
    rows, _ = summary_rows(workspace, query("clock"), CLOCK, *CLOCK.columns)
    (now,) = single_row(workspace, CLOCK, rows or [])
    try:
        return parse_time(now)
    except ValueError:
        raise table_error(workspace, CLOCK, "does not tell the time") from None


def probe_table(
    workspace: LogAnalytics, queries: WindowQueries, shape: TableShape
) -> tuple[SourceState, int | None]:
    """Return the state of one table, and the time of its newest row of a day."""
    # Of this table alone, or what is wrong with the other would seem to be wrong with this one.
    rows, _ = count_buckets(workspace, queries.count(shape, signed_in=False), shape)
    latest = _latest(workspace, queries, shape)
    return _state(rows, alive=latest is not None), latest


def read_allowlist(workspace: LogAnalytics, alias: str) -> tuple[list[str] | None, int]:
    """Return the watchlist's entries, None where no watchlist is, and the size of the answer."""
    rows, size = summary_rows(
        workspace, query("allowlist", alias=alias), ALLOWLIST_TABLE, *ALLOWLIST_TABLE.columns
    )
    return None if rows is None else [entry for (entry,) in rows], size


def _latest(workspace: LogAnalytics, queries: WindowQueries, shape: TableShape) -> int | None:
    """Return the time of the table's newest row."""
    rows, _ = summary_rows(workspace, queries.latest(shape), shape, "Latest")
    if rows is None:
        return None
    (latest,) = single_row(workspace, shape, rows)
    try:
        return parse_time(latest) if latest else None
    except ValueError:
        raise table_error(workspace, shape, "its newest row has no readable time") from None


def _state(rows: Sized | None, *, alive: bool = False) -> SourceState:
    """Return a source's state, given whether other rows than those asked for are known of."""
    if rows is None:
        return SourceState.MISSING
    return SourceState.OK if rows or alive else SourceState.EMPTY
