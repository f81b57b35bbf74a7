"""Counts the rows of each bucket of both log tables, and runs queries that summarise a table.

The counts divide a window into partitions, and show later whether a partition was read completely.
"""

from concurrent.futures import Executor, Future
from typing import Any, Final, NamedTuple

from detection.errors import SourceError
from detection.kql.render import Query
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.log_analytics.api_errors import (
    PartialResult,
    TableMissing,
    UnsupportedTablePlan,
)
from detection.sources.log_analytics.client import LogAnalytics, summary_shape
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.read_rows import table_vanished

COUNT_COLUMNS: Final = (
    "Matched",
    "Succeeded",
    "MatchedWithoutSignIn",
    "SucceededWithoutSignIn",
    "WithoutCaller",
)


class BucketCounts(NamedTuple):
    """The counts of one table by bucket, in the order of its columns; None for a missing table.

    `size` is the size of the answer in bytes.
    """

    by_bucket: dict[int, tuple[int, ...]] | None
    size: int


class TableCounts(NamedTuple):
    """The counts of both log tables."""

    sign_ins: BucketCounts
    operations: BucketCounts


class Summary(NamedTuple):
    """The rows of a query that summarises a table; None for a missing table.

    `size` is the size of the answer in bytes.
    """

    rows: list[Any] | None
    size: int


class OperationCounts(NamedTuple):
    """Numbers of operations, by whether their identity signed in and by their status (D8).

    `matched` ones have an accepted status, `succeeded` ones have "Succeeded" where that is not
    accepted. `without_caller` counts those of `without_sign_in_matched` that name no caller.
    """

    matched: int = 0
    succeeded: int = 0
    without_sign_in_matched: int = 0
    without_sign_in_succeeded: int = 0
    without_caller: int = 0


class TableCounter:
    """Counts the rows of both log tables in the background."""

    def __init__(self, workspace: LogAnalytics, queries: WindowQueries, threads: Executor) -> None:
        """Start to count, in `threads`."""
        self._workspace = workspace
        self._queries = queries
        self._threads = threads
        self._futures = self._submit()

    def result(self) -> TableCounts:
        """Return the counts of both tables, once they are consistent.

        A bucket with operations of identities that signed in has a sign-in too. If none was
        counted, one of the two answers is wrong, for example that of a replica that lags, so both
        tables are counted once more. Raises SourceError if the counts are inconsistent again.
        """
        counts = TableCounts(*(future.result() for future in self._futures))
        if not _are_consistent(counts):
            self._workspace.pause_before_retry(SIGN_IN_TABLE)
            counts = TableCounts(*(future.result() for future in self._submit()))
        if not _are_consistent(counts):
            raise table_error(
                self._workspace,
                SIGN_IN_TABLE,
                f"two counts found no sign-ins of identities that, by the count of "
                f"{OPERATION_TABLE.name}, signed in: check that the identity may still read the "
                "table; the next run reads the window again",
            )
        return counts

    def _submit(self) -> "tuple[Future[BucketCounts], Future[BucketCounts]]":
        text = self._queries.count(SIGN_IN_TABLE)
        sign_ins = self._threads.submit(count_buckets, self._workspace, text, SIGN_IN_TABLE)
        arguments = self._workspace, self._queries, sign_ins
        return sign_ins, self._threads.submit(_operation_counts, *arguments)


def _are_consistent(counts: TableCounts) -> bool:
    """Return True if each bucket with operations of identities that signed in has a sign-in."""
    sign_ins, operations = (table.by_bucket or {} for table in counts)
    with_sign_in = {bucket for bucket, (matched,) in sign_ins.items() if matched}
    by_bucket = {bucket: OperationCounts(*row) for bucket, row in operations.items()}
    need_sign_in = {bucket for bucket, row in by_bucket.items() if row.matched or row.succeeded}
    return need_sign_in <= with_sign_in


def count_buckets(workspace: LogAnalytics, text: Query, shape: TableShape) -> BucketCounts:
    """Run a query that counts the rows of each bucket of one table."""
    columns = ("Matched",) if shape is SIGN_IN_TABLE else COUNT_COLUMNS
    rows, size = summary_rows(workspace, text, shape, "Bucket", *columns)
    if rows is None:
        return BucketCounts(None, size)
    try:
        by_bucket = {int(bucket): tuple(map(int, counts)) for bucket, *counts in rows}
    except ValueError:
        raise table_error(workspace, shape, "the row counts in the answer are unreadable") from None
    return BucketCounts(by_bucket, size)


def _operation_counts(
    workspace: LogAnalytics, queries: WindowQueries, sign_ins: "Future[BucketCounts]"
) -> BucketCounts:
    """Count the operations; if the table of sign-ins does not exist, nobody signed in."""
    without_sign_ins = queries.count(OPERATION_TABLE, signed_in=False)
    try:
        return count_buckets(workspace, queries.count(OPERATION_TABLE), OPERATION_TABLE)
    except TableMissing as missing:
        if sign_ins.result().by_bucket is not None:
            raise table_vanished(workspace, missing) from None
        return count_buckets(workspace, without_sign_ins, OPERATION_TABLE)
    except UnsupportedTablePlan:
        count_buckets(
            workspace, without_sign_ins, OPERATION_TABLE
        )  # raises if the plan is that of this table
        raise


def summary_rows(workspace: LogAnalytics, text: Query, shape: TableShape, *columns: str) -> Summary:
    """Run a query that summarises a table in these columns, all text.

    Raises TableMissing if another table of the query does not exist, and SourceError if the
    summary is incomplete.
    """
    try:
        answer = workspace.run_query_retrying_partial(text, summary_shape(shape, *columns))
    except TableMissing as missing:
        if missing.table != shape.name:
            raise
        return Summary(None, 0)
    except PartialResult as error:
        raise table_error(workspace, shape, f"the summary is incomplete ({error})") from None
    return Summary(answer.table.rows, answer.size)


def single_row(workspace: LogAnalytics, shape: TableShape, rows: list[Any]) -> tuple[str, ...]:
    """Return the only row of a summary; raises SourceError if there is another number of rows."""
    if len(rows) != 1:
        raise table_error(workspace, shape, f"the summary has {len(rows)} rows, expected 1")
    return tuple(rows[0])


def table_error(workspace: LogAnalytics, shape: TableShape, problem: str) -> SourceError:
    """Return the error for a problem with a table of the workspace."""
    return SourceError(f"{workspace.describe(shape)}: {problem}")
