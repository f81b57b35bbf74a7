"""Reads the rows of a table, all of them or none.

A truncated answer, or one of a replica that lags, would otherwise hide findings without an error.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.rule.ticks import SECOND, format_time
from detection.sources.decode.table import INGESTION_TIME, Table
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import Answer, LogAnalytics
from detection.sources.workspace.queries import WindowQueries

MIN_RANGE: Final = SECOND  # a time range of this length is not split any more

T = TypeVar("T")


class RowsRead(NamedTuple):
    """The rows of a table, and the size of the answers that held them, in bytes."""

    rows: list[Any]
    size: int = 0


def read_partition(
    workspace: LogAnalytics,
    queries: WindowQueries,
    shape: TableShape,
    partition: range,
    expected: int,
) -> RowsRead:
    """Read the rows of a partition that the rule may match, from a table that was counted before.

    A single bucket, which may be a single identity, is split by time if it exceeds one answer.

    Raises PartialResult if several buckets exceed one answer, and SourceError if the answers have
    fewer rows than `expected`.
    """

    def read_time_range(start: int, end: int) -> Answer:
        return workspace.run_query(queries.rows(shape, partition, start, end), shape)

    def read() -> RowsRead:
        rows: list[Any] = []
        size = 0
        for answer in _answers_by_time(
            workspace, queries, shape, read_time_range, may_split=len(partition) == 1
        ):
            rows += answer.table.rows
            size += answer.size
        return RowsRead(rows, size)

    try:
        return read_all_counted(
            workspace, {shape: expected}, read, lambda result, _: len(result.rows)
        )
    except TableMissing as error:
        raise table_vanished(workspace, error) from None


def read_all_counted(
    workspace: LogAnalytics,
    expected: Mapping[TableShape, int],
    read: Callable[[], T],
    count_rows: Callable[[T, TableShape], int],
) -> T:
    """Return the result of `read`, if it holds at least the `expected` rows of each table.

    A replica that lags returns fewer rows, and a table that may no longer be read returns none,
    both without an error. So `read` is called once more if rows are lacking; there may be more
    rows than expected, since new ones arrive. `count_rows` counts a table's rows in the result.

    Raises SourceError if rows are lacking again.
    """

    def short_tables(result: T) -> list[TableShape]:
        return [shape for shape in expected if count_rows(result, shape) < expected[shape]]

    result = read()
    if short := short_tables(result):
        workspace.pause_before_retry(short[0])
        result = read()
    for shape in short_tables(result):
        raise SourceError(
            f"{workspace.describe(shape)}: two queries returned {count_rows(result, shape)} rows, "
            f"but {expected[shape]} were counted just before: check that the identity may still "
            "read the table; the next run reads the window again"
        )
    return result


def table_vanished(workspace: LogAnalytics, error: TableMissing) -> SourceError:
    """Return the error for a table that existed when its rows were counted."""
    return SourceError(
        f"{workspace.describe_table(error.table)}: the table disappeared while it was read "
        f"({error}): check the workspace"
    )


def read_table(
    workspace: LogAnalytics, queries: WindowQueries, shape: TableShape
) -> Iterator[Table]:
    """Yield all rows of the window that the rule may match, with their ingestion times.

    Raises TableMissing if the table does not exist.
    """

    def read_time_range(start: int, end: int) -> Answer:
        return workspace.run_query(queries.recording(shape, start, end), shape, INGESTION_TIME)

    for answer in _answers_by_time(workspace, queries, shape, read_time_range, may_split=True):
        yield answer.table


def _answers_by_time(
    workspace: LogAnalytics,
    queries: WindowQueries,
    shape: TableShape,
    read_time_range: Callable[[int, int], Answer],
    *,
    may_split: bool,
) -> Iterator[Answer]:
    """Yield one answer about the window, or those about its halves if it exceeds one answer."""
    # A range includes its end but not its start, so that each row is in exactly one.
    ranges = [(queries.window.start, queries.window.end)]
    while ranges:
        start, end = ranges.pop()
        try:
            yield read_time_range(start, end)
        except PartialResult as error:
            if not may_split:
                raise
            if end - start <= MIN_RANGE:
                raise SourceError(
                    f"{workspace.describe(shape)}: the rows from {format_time(start)} to "
                    f"{format_time(end)} exceed one answer ({error}): the window cannot be read, "
                    "and the next run tries again"
                ) from None
            middle = (start + end) // 2
            ranges += [(middle, end), (start, middle)]
