"""How many rows each bucket of the two tables holds, and how a table is summed up."""

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
BucketCounts = tuple[dict[int, tuple[int, ...]] | None, int]


class OperationCounts(NamedTuple):
    """Operations by whether their identity signed in, and by their status (D8).

    Of the strangers' accepted ones some have no caller.
    """

    matched: int = 0
    succeeded: int = 0
    without_sign_in_matched: int = 0
    without_sign_in_succeeded: int = 0
    without_caller: int = 0


class TableCounts:
    """Counts the rows of both tables while something else is asked."""

    def __init__(self, workspace: LogAnalytics, queries: WindowQueries, threads: Executor) -> None:
        """Begin to count, in these threads."""
        self._workspace = workspace
        self._asking = queries
        self._threads = threads
        self._begun = self._begin()

    def result(self) -> tuple[BucketCounts, BucketCounts]:
        """Return the counts of sign-ins and of operations, once they agree.

        An operation of an identity that signed in lies in a bucket that has a sign-in. Where none
        was counted one of the two answers is wrong, as a replica's that lags is, so both are asked
        for once more. Raises SourceError if they contradict each other again.
        """
        sign_ins, operations = (one.result() for one in self._begun)
        if not _agree(sign_ins, operations):
            self._workspace.rest(SIGN_IN_TABLE)
            sign_ins, operations = (one.result() for one in self._begin())
        if not _agree(sign_ins, operations):
            raise table_error(
                self._workspace,
                SIGN_IN_TABLE,
                f"counted no sign-in twice of identities that {OPERATION_TABLE.name} says signed "
                "in: check that the identity may still read the table; the window stays due",
            )
        return sign_ins, operations

    def _begin(self) -> "tuple[Future[BucketCounts], Future[BucketCounts]]":
        text = self._asking.count(SIGN_IN_TABLE)
        sign_ins = self._threads.submit(count_buckets, self._workspace, text, SIGN_IN_TABLE)
        arguments = self._workspace, self._asking, sign_ins
        return sign_ins, self._threads.submit(_operation_counts, *arguments)


def _agree(sign_ins: BucketCounts, operations: BucketCounts) -> bool:
    """Tell if there is a sign-in wherever operations are of identities that signed in."""
    there = {bucket for bucket, (matched,) in (sign_ins[0] or {}).items() if matched}
    counted = {bucket: OperationCounts(*row) for bucket, row in (operations[0] or {}).items()}
    paired = {bucket for bucket, row in counted.items() if row.matched or row.succeeded}
    return paired <= there


def count_buckets(workspace: LogAnalytics, text: Query, shape: TableShape) -> BucketCounts:
    """Return how many rows each bucket has, and the size of the answer; None: a missing table."""
    columns = ("Matched",) if shape is SIGN_IN_TABLE else COUNT_COLUMNS
    rows, size = summary_rows(workspace, text, shape, "Bucket", *columns)
    if rows is None:
        return None, size
    try:
        return {int(bucket): tuple(map(int, counts)) for bucket, *counts in rows}, size
    except ValueError:
        raise table_error(workspace, shape, "how many rows it has cannot be read") from None


def _operation_counts(
    workspace: LogAnalytics, queries: WindowQueries, sign_ins: "Future[BucketCounts]"
) -> BucketCounts:
    """Return the same for operations; where there is no table of sign-ins, nobody signed in."""
    alone = queries.count(OPERATION_TABLE, signed_in=False)
    try:
        return count_buckets(workspace, queries.count(OPERATION_TABLE), OPERATION_TABLE)
    except TableMissing as missing:
        if sign_ins.result()[0] is not None:
            raise table_vanished(workspace, missing) from None
        return count_buckets(workspace, alone, OPERATION_TABLE)
    except UnsupportedTablePlan:
        count_buckets(workspace, alone, OPERATION_TABLE)  # which fails if it is this table
        raise


def summary_rows(
    workspace: LogAnalytics, text: Query, shape: TableShape, *columns: str
) -> tuple[list[Any] | None, int]:
    """Return the rows that a query sums a table up in, None for a missing one, and their size.

    Raises NotThere where another table is missing that the query asks too.
    """
    try:
        answer = workspace.ask_once_more_if_partial(text, summary_shape(shape, *columns))
    except TableMissing as missing:
        if missing.table != shape.name:
            raise
        return None, 0
    except PartialResult as error:
        raise table_error(workspace, shape, f"cannot be summed up whole ({error})") from None
    return answer.table.rows, answer.size


def single_row(workspace: LogAnalytics, shape: TableShape, rows: list[Any]) -> tuple[str, ...]:
    """Return the one row of a summary."""
    if len(rows) != 1:
        raise table_error(workspace, shape, f"is summed up in {len(rows)} rows, not in one")
    return tuple(rows[0])


def table_error(workspace: LogAnalytics, shape: TableShape, problem: str) -> SourceError:
    """Return what to raise about a table of the workspace."""
    return SourceError(f"{workspace.where(shape)}: {problem}")
