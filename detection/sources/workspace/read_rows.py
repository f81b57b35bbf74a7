"""The rows of some buckets of one table, whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.rule.ticks import SECOND, format_time
from detection.sources.decode.table import INGESTION_TIME, Table
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import Answer, LogAnalytics
from detection.sources.workspace.queries import WindowQueries

NARROWEST: Final = SECOND  # a time as short as this is not halved any more

T = TypeVar("T")


class RowsRead(NamedTuple):
    """The rows of a table, and the size of the answers they came in."""

    rows: list[Any]
    size: int = 0


def read_partition(
    workspace: LogAnalytics,
    queries: WindowQueries,
    shape: TableShape,
    partition: range,
    counted: int,
) -> RowsRead:
    """Read what the rule takes of some buckets of a table that was there when it was counted.

    Raises CutShort where several buckets are more than an answer holds, and SourceError where
    fewer rows come than were `counted`. A single bucket, which may be a single identity, is read
    in halves by time where it is more than an answer holds.
    """

    def ask(start: int, end: int) -> Answer:
        return workspace.ask(queries.rows(shape, partition, start, end), shape)

    def read() -> RowsRead:
        rows: list[Any] = []
        size = 0
        for answer in _answers_by_time(workspace, queries, shape, ask, halving=len(partition) == 1):
            rows += answer.table.rows
            size += answer.size
        return RowsRead(rows, size)

    try:
        return read_all_counted(workspace, {shape: counted}, read, lambda found, _: len(found.rows))
    except TableMissing as error:
        raise table_vanished(workspace, error) from None


def read_all_counted(
    workspace: LogAnalytics,
    counted: Mapping[TableShape, int],
    read: Callable[[], T],
    number: Callable[[T, TableShape], int],
) -> T:
    """Read as many rows as were counted, or more, that came since; once again if they are fewer.

    A replica that lags gives fewer, and a table that may not be read any more gives none, without
    an error. Raises SourceError where they are fewer again.
    """

    def lacking(found: T) -> list[TableShape]:
        return [shape for shape in counted if number(found, shape) < counted[shape]]

    found = read()
    if fewer := lacking(found):
        workspace.rest(fewer[0])
        found = read()
    for shape in lacking(found):
        raise SourceError(
            f"{workspace.where(shape)}: gave {number(found, shape)} rows twice, of "
            f"{counted[shape]} that it had counted just before: check that the identity may still "
            "read the table; the window stays due"
        )
    return found


def table_vanished(workspace: LogAnalytics, error: TableMissing) -> SourceError:
    """Return what to raise for a table that was there when it was counted."""
    return SourceError(
        f"{workspace.called(error.table)}: went missing while it was read ({error}): check the "
        "workspace"
    )


def read_table(
    workspace: LogAnalytics, queries: WindowQueries, shape: TableShape
) -> Iterator[Table]:
    """Yield all that the rule could take of a table, with the times when the rows came.

    Raises NotThere if the table is missing.
    """

    def ask(start: int, end: int) -> Answer:
        return workspace.ask(queries.recording(shape, start, end), shape, INGESTION_TIME)

    for answer in _answers_by_time(workspace, queries, shape, ask, halving=True):
        yield answer.table


def _answers_by_time(
    workspace: LogAnalytics,
    queries: WindowQueries,
    shape: TableShape,
    ask: Callable[[int, int], Answer],
    *,
    halving: bool,
) -> Iterator[Answer]:
    """Yield the answers about the window: one, or where that is too much those of its halves."""
    # Each without its start, so that no row is in two or in none.
    spans = [(queries.window.start, queries.window.end)]
    while spans:
        start, end = spans.pop()
        try:
            yield ask(start, end)
        except PartialResult as error:
            if not halving:
                raise
            if end - start <= NARROWEST:
                raise SourceError(
                    f"{workspace.where(shape)}: {format_time(start)} to {format_time(end)} cannot "
                    f"be read whole ({error}): one query gives no more, and the window stays due"
                ) from None
            middle = (start + end) // 2
            spans += [(middle, end), (start, middle)]
