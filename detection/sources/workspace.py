"""A Log Analytics workspace: what is asked of it, and how the answers become one window's logs.

The filters of clauses 2 and 3 run in the workspace, so only rows that can take part travel. The
tables and the watchlist are read at the same time.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from detection.errors import SourceError
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    SourceState,
    TableShape,
)
from detection.rule.ticks import SECOND, parse, text_of
from detection.sources import Arrivals
from detection.sources.faults import CutShort, NotThere
from detection.sources.loganalytics import Limits, LogAnalytics, Sleep
from detection.sources.queries import query
from detection.sources.table import INGESTION_TIME
from detection.sources.workspace_background import WorkspaceBackground
from detection.window import Window

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

AT_ONCE: Final = 3  # queries; the service runs five for one identity and lets the others wait
TIMED: Final = (SIGN_IN_TABLE, OPERATION_TABLE)
NARROWEST: Final = SECOND  # a time as short as this is not halved any more


class _Read(NamedTuple):
    """The rows of a table, None for a missing one, and the size of the answers they came in."""

    rows: list[Any] | None
    size: int = 0


class WorkspaceSource:
    """A LogSource over one workspace."""

    def __init__(  # noqa: PLR0913 - two watchlists have two names
        self,
        *,
        client: "LogsQueryClient",
        workspace_id: str,
        alias: str = ALLOWLIST_TABLE.name,
        exclusions_alias: str = EXCLUSIONS_TABLE.name,
        statuses: Sequence[str] = ("Success",),
        sleep: Sleep = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        """Read through `client`, which the caller has opened (`with client:`) and will close.

        `alias` and `exclusions_alias` name watchlists, `statuses` are those of operations that
        succeeded. Raises ValueError for any that no query can hold.
        """
        self._workspace = LogAnalytics(
            client=client, workspace_id=workspace_id, sleep=sleep, limits=limits
        )
        self._statuses = tuple(statuses)
        self._allowlist_query = query("allowlist", alias=alias)
        self._query(OPERATION_TABLE, 0, 0)
        self.background = WorkspaceBackground(
            self._workspace, alias=exclusions_alias, statuses=statuses
        )

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Ask each table what it took in during (since, now]."""
        moments = {"since": since, "now": now, "examined": examined, "too_late": too_late}
        with _threads() as threads:
            asked = [threads.submit(self._arrived, shape, moments) for shape in TIMED]
            found = [future.result() for future in asked]
        return Arrivals(
            earliest=min((one.earliest for one in found if one.earliest is not None), default=None),
            late=sum(one.late for one in found),
            too_late=sum(one.too_late for one in found),
        )

    def read(self, window: Window, now: int) -> Logs:
        """Return the rows of the window that had arrived at `now`, and the allowlist.

        Only rows that meet clause 2 or 3 come, so a table without any is empty only if it took in
        nothing else since the window's start either.
        """
        with _threads() as threads:
            reads = {shape: threads.submit(self._timed, shape, window, now) for shape in TIMED}
            listed = threads.submit(self._allowlist)
            newest = {shape: threads.submit(self._latest, shape, now) for shape in TIMED}
            tables = {shape.name: future.result() for shape, future in reads.items()}
            allowlist = listed.result()
            latest = {shape.name: future.result() for shape, future in newest.items()}
        states = {ALLOWLIST_TABLE.name: _state(allowlist)}
        for name, table in tables.items():
            states[name] = _state(table, alive=(latest[name] or window.start) > window.start)
        return Logs(
            sign_ins=tables[SIGN_IN_TABLE.name].rows or [],
            operations=tables[OPERATION_TABLE.name].rows or [],
            allowlist=[entry for (entry,) in allowlist.rows or []],
            states=states,
            latest=latest,
            bytes_read=sum(read.size for read in (*tables.values(), allowlist)),
        )

    def _timed(self, shape: TableShape, window: Window, now: int) -> _Read:
        """Read what the rule takes from one table, in halves by time where that is too much."""
        rows: list[Any] = []
        size = 0
        spans = [(window.start, window.end)]  # each without its start: no row is in two or in none
        while spans:
            start, end = spans.pop()
            try:
                answer = self._workspace.ask(self._query(shape, start, end), shape, INGESTION_TIME)
            except NotThere as error:
                if (start, end) == (window.start, window.end):
                    return _Read(None)
                raise self._failed(
                    shape, f"went missing while it was read ({error}): check the workspace"
                ) from None
            except CutShort as error:
                if end - start <= NARROWEST:
                    problem = (
                        f"{text_of(start)} to {text_of(end)} cannot be read whole ({error}): "
                        "one query gives no more, and the window stays due"
                    )
                    raise self._failed(shape, problem) from None
                middle = (start + end) // 2
                spans += [(middle, end), (start, middle)]
                continue
            table = answer.table
            if table.arrivals:
                pairs = zip(table.rows, table.arrivals, strict=True)
                rows += [row for row, moment in pairs if moment <= now]
            else:
                rows += table.rows
            size += answer.size
        return _Read(rows, size)

    def _query(self, shape: TableShape, start: int, end: int) -> str:
        """Return the query for the rows of (start, end]."""
        if shape is SIGN_IN_TABLE:
            return query("sign_ins", start=start, end=end)
        return query("operations", start=start, end=end, statuses=self._statuses)

    def _allowlist(self) -> _Read:
        """Read the watchlist."""
        try:
            answer = self._workspace.ask(self._allowlist_query, ALLOWLIST_TABLE)
        except NotThere:
            return _Read(None)
        except CutShort as error:
            raise self._failed(
                ALLOWLIST_TABLE, f"cannot be read whole ({error}): shorten it"
            ) from None
        return _Read(answer.table.rows, answer.size)

    def _latest(self, shape: TableShape, now: int) -> int | None:
        """Return the time of the table's newest row."""
        row = self._summary(query("latest", table=shape, now=now), shape, "Latest")
        try:
            return parse(row[0]) if row and row[0] else None
        except ValueError:
            raise self._failed(shape, "its newest row has no readable time") from None

    def _arrived(self, shape: TableShape, moments: Mapping[str, int]) -> Arrivals:
        """Return what came into one table; nothing comes into a missing one."""
        text = query("arrivals", table=shape, **moments)
        row = self._summary(text, shape, "Earliest", "Late", "TooLate")
        if row is None:
            return Arrivals()
        earliest, late, too_late = row
        try:
            return Arrivals(parse(earliest) if earliest else None, int(late), int(too_late))
        except ValueError:
            raise self._failed(shape, "what arrived in it cannot be read") from None

    def _summary(self, text: str, shape: TableShape, *columns: str) -> tuple[str, ...] | None:
        """Return the one row that a query sums a table up in, None for a missing table."""
        summary = shape._replace(columns=columns, required=len(columns), shared=0, timed=False)
        try:
            rows = self._workspace.ask(text, summary).table.rows
        except NotThere:
            return None
        except CutShort as error:
            raise self._failed(
                shape, f"cannot be summed up whole ({error}): the next run tries again"
            ) from None
        if len(rows) != 1:
            raise self._failed(shape, f"is summed up in {len(rows)} rows, not in one")
        return tuple(rows[0])

    def _failed(self, shape: TableShape, problem: str) -> SourceError:
        return SourceError(f"{self._workspace.where(shape)}: {problem}")


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Lend threads; on the first failure what has not begun is dropped."""
    threads = ThreadPoolExecutor(AT_ONCE, "log-analytics")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def _state(read: _Read, *, alive: bool = False) -> SourceState:
    """Return a source's state, given whether other rows than those asked for are known of."""
    if read.rows is None:
        return SourceState.MISSING
    return SourceState.OK if read.rows or alive else SourceState.EMPTY
