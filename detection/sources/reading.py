"""The rows of some buckets of one table, whole or not at all."""

from typing import Any, Final, NamedTuple

from detection.errors import SourceError
from detection.rule.rows import TableShape
from detection.rule.ticks import SECOND, text_of
from detection.sources.asking import Asking
from detection.sources.faults import CutShort, NotThere
from detection.sources.loganalytics import LogAnalytics

NARROWEST: Final = SECOND  # a time as short as this is not halved any more


class Read(NamedTuple):
    """The rows of a table, and the size of the answers they came in."""

    rows: list[Any]
    size: int = 0


def rows_of(workspace: LogAnalytics, asking: Asking, shape: TableShape, buckets: range) -> Read:
    """Read what the rule takes of some buckets of a table that was there when it was counted.

    Raises CutShort where several buckets are more than an answer holds. A single bucket, which may
    be a single identity, is read in halves by time then.
    """
    rows: list[Any] = []
    size = 0
    # Each without its start, so that no row is in two or in none.
    spans = [(asking.window.start, asking.window.end)]
    while spans:
        start, end = spans.pop()
        try:
            answer = workspace.ask(asking.rows(shape, buckets, start, end), shape)
        except NotThere as error:
            problem = f"went missing while it was read ({error}): check the workspace"
            raise SourceError(f"{workspace.where(shape)}: {problem}") from None
        except CutShort as error:
            if len(buckets) > 1:
                raise
            if end - start <= NARROWEST:
                raise SourceError(
                    f"{workspace.where(shape)}: {text_of(start)} to {text_of(end)} cannot be read "
                    f"whole ({error}): one query gives no more, and the window stays due"
                ) from None
            middle = (start + end) // 2
            spans += [(middle, end), (start, middle)]
            continue
        rows += answer.table.rows
        size += answer.size
    return Read(rows, size)
