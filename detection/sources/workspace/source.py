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
from detection.sources.log_analytics.api_errors import CutShort, NotThere
from detection.sources.log_analytics.client import Limits, LogAnalytics, Sleep
from detection.sources.workspace.context import WorkspaceBackground
from detection.sources.workspace.kusto_correlation import correlated
from detection.sources.workspace.partitions import cut, halves
from detection.sources.workspace.queries import Asking
from detection.sources.workspace.query_checks import Tried, trials, tried
from detection.sources.workspace.read_rows import Read, rows_of, went_missing, whole
from detection.sources.workspace.window_counts import (
    TIMED,
    Survey,
    arrived,
    clock,
    listed,
    probed,
    survey,
)
from detection.threads import Threads
from detection.window import Mode, Window

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

HOT: Final = 8  # times what is read at once: a bucket with more is the cluster's, if that may be
IN_CLUSTER: Final = 200_000  # rows correlated there by one query, whose answer may name each


class WorkspaceSource:
    """A LogSource over one workspace."""

    def __init__(  # noqa: PLR0913 - two watchlists have two names
        self,
        *,
        client: "LogsQueryClient",
        workspace_id: str,
        alias: str = ALLOWLIST_TABLE.name,
        exclusions_alias: str = EXCLUSIONS_TABLE.name,
        rule: RuleSettings = RuleSettings(),  # noqa: B008 - it cannot change
        sleep: Sleep = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        """Read through `client`, which the caller has opened (`with client:`) and will close.

        `alias` and `exclusions_alias` name watchlists. Raises ValueError for them, or for a
        status of `rule`, if no query can hold it.
        """
        self._workspace = LogAnalytics(
            client=client, workspace_id=workspace_id, sleep=sleep, limits=limits
        )
        self._rule = rule
        self._limits = limits
        self._alias, self._exclusions_alias = alias, exclusions_alias
        query("allowlist", alias=alias)
        Asking(Window(0, 0, Mode.SCHEDULED), 0, rule).count(OPERATION_TABLE)
        self.background = WorkspaceBackground(
            self._workspace, alias=exclusions_alias, statuses=rule.success_statuses
        )

    def clock(self) -> int:
        """Ask the workspace for the time."""
        return clock(self._workspace)

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Ask each table what it took in during (since, now]."""
        moments = {"since": since, "now": now, "examined": examined, "too_late": too_late}
        with self._threads(self._limits.queries) as threads:
            asked = [threads.submit(arrived, self._workspace, shape, moments) for shape in TIMED]
            return reduce(Arrivals.joined, (future.result() for future in asked))

    def parts(self, window: Window, now: int) -> Iterator[Logs | Correlated]:
        """Yield first what is known of the window as a whole, then its rows or what they come to.

        A part that turns out to be more than an answer holds is cut in two, so that nothing is
        left out.
        """
        asking = Asking(window, now, self._rule)
        with self._threads(self._limits.queries) as threads:
            known = survey(self._workspace, asking, self._alias, threads)
        yield known.strangers()
        rows = known.rows()
        everything = sum(rows.values()) > self._limits.here
        most = IN_CLUSTER if everything else self._limits.together

        def size(buckets: range) -> int:
            return sum(rows.get(bucket, 0) for bucket in buckets)

        # The largest first, while what was found so far takes little room.
        cuts = sorted(cut(rows, most), key=size, reverse=True) if known.sign_ins else []
        waiting = deque(cuts)
        while waiting:
            buckets = waiting.popleft()
            try:
                hot = size(buckets) > HOT * self._limits.together
                if everything or (hot and self._limits.here < inf):
                    yield self._correlated(asking, buckets, known)
                else:
                    yield self._read(asking, buckets, known, hot=hot)
            except CutShort:
                waiting.extendleft(reversed(halves(buckets, rows)))

    def probe(self, shape: TableShape, now: int) -> tuple[SourceState, int | None]:
        """Count the last minute's rows of one table; return its state and newest row's time."""
        asking = Asking(Window(now - MINUTE, now, Mode.SCHEDULED), now, self._rule)
        return probed(self._workspace, asking, shape)

    def try_queries(self, now: int) -> list[Tried]:
        """Ask every query about a time without rows; return how each went."""
        asking = Asking(Window(now, now, Mode.SCHEDULED), now, self._rule)
        with self._threads(self._limits.queries) as threads:
            every = trials(asking, self._alias, self._exclusions_alias)
            return tried(self._workspace, every, threads)

    def allowlist(self) -> list[str] | None:
        """Return the watchlist's entries, None where it is missing."""
        return listed(self._workspace, self._alias)[0]

    def tables(self, shape: TableShape, window: Window, now: int) -> Iterator[Table]:
        """Yield all rows of a table that the rule could take, with the times when they came.

        Raises NotThere if the table is missing.
        """
        return whole(self._workspace, Asking(window, now, self._rule), shape)

    def _read(self, asking: Asking, buckets: range, known: Survey, *, hot: bool) -> Logs:
        """Read both tables' rows of some buckets, at the same time unless they are very many."""
        operations_there = sum(known.operations_in(buckets))
        counted = {SIGN_IN_TABLE: known.sign_ins_in(buckets)}
        counted |= {OPERATION_TABLE: operations_there} if operations_there else {}
        with self._threads(1 if hot else self._limits.queries) as threads:
            reads = [
                threads.submit(rows_of, self._workspace, asking, shape, buckets, number)
                for shape, number in counted.items()
            ]
            sign_ins, operations = ([*(read.result() for read in reads), Read([])])[:2]
        return replace(
            known.about,
            sign_ins=sign_ins.rows,
            operations=operations.rows,
            bytes_read=sign_ins.size + operations.size,
        )

    def _correlated(self, asking: Asking, buckets: range, known: Survey) -> Correlated:
        """Let the cluster correlate some buckets."""
        try:
            groups, sign_ins, size = correlated(self._workspace, asking, buckets, known)
        except NotThere as error:
            raise went_missing(self._workspace, error) from None
        except CutShort as error:
            if len(buckets) > 1:
                raise
            raise SourceError(
                f"{self._workspace.where(SIGN_IN_TABLE)}: one identity is more than the cluster "
                f"can correlate in one query ({error}): set CORRELATE_IN to python"
            ) from None
        matched, succeeded = known.operations_in(buckets)
        operations: Matched[Operation] = Matched({}, matched=matched, other_success=succeeded)
        return Correlated(
            replace(known.about, bytes_read=size),
            Detection(groups, sign_ins, operations, known.allowlist),
        )

    @staticmethod
    def _threads(number: int) -> Threads:
        return Threads(number, "log-analytics")
