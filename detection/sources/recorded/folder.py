"""Reads a folder of recorded tables as if it were a workspace.

The files are `AADManagedIdentitySignInLogs.json`, `AzureActivity.json`, `NetworkAllowlist.json`,
`ManagedIdentityExclusions.json` and `PastChanges.json`; a file that is absent is a missing table. A
row has arrived once its `IngestionTime` has passed; a row without one is always there, and never
late.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any

from detection.clouds import PUBLIC
from detection.errors import UsageError
from detection.ranking.baseline import PAST_CHANGES_TABLE, PastChange
from detection.ranking.identity_details import DetailRow
from detection.rule.exclusions import EXCLUSIONS_TABLE, ExclusionRow
from detection.rule.filters import RuleSettings, match_operations
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    CALLER_ADDRESS,
    IDENTITY,
    OPERATION_NAME,
    OPERATION_TABLE,
    RESOURCE_GROUP,
    SIGN_IN_TABLE,
    TIME,
    Logs,
    Operation,
    SourceState,
)
from detection.sources import Arrivals
from detection.sources.context import corroborating_actions
from detection.sources.decode.table import ALREADY_ARRIVED, Table
from detection.sources.prefilter import KEEP_ALL, OPERATION_CANDIDATES, SIGN_IN_CANDIDATES
from detection.sources.recorded.identity_details import RecordedDetails
from detection.sources.recorded.table_files import (
    misnamed_files,
    missing_table_advice,
    read_table_file,
    table_path,
    table_warnings,
)
from detection.window import Mode, Window

TABLES = (SIGN_IN_TABLE, OPERATION_TABLE, ALLOWLIST_TABLE)


class RecordedSource:
    """A LogSource and ContextSource over one folder, which is read once and completely."""

    portal = PUBLIC.portal  # a recording does not tell its cloud

    def __init__(self, folder: Path) -> None:
        """Raise UsageError if the folder holds no recording, SourceError if one is unreadable."""
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: name one that holds recorded tables")
        files = [table_path(folder, shape) for shape in TABLES]
        if not any(path.exists() for path in files):
            names = ", ".join(path.name for path in files)
            misnamed = filter(None, (misnamed_files(folder, shape) for shape in TABLES))
            problem = f"{folder} holds no recording: expected at least one of {names}"
            raise UsageError("; ".join((problem, *misnamed)))
        self._bytes = sum(path.stat().st_size for path in files if path.exists())
        sign_ins = read_table_file(folder, SIGN_IN_TABLE, SIGN_IN_CANDIDATES)
        operations = read_table_file(folder, OPERATION_TABLE, OPERATION_CANDIDATES)
        allowlist = read_table_file(folder, ALLOWLIST_TABLE, KEEP_ALL)
        exclusions = read_table_file(folder, EXCLUSIONS_TABLE, KEEP_ALL)
        tables = (sign_ins, operations, allowlist, exclusions)
        pairs = tuple(zip((*TABLES, EXCLUSIONS_TABLE), tables, strict=True))
        self._remedies = {
            shape.name: missing_table_advice(folder, shape)
            for shape, table in pairs
            if table is None
        }
        self._warnings = tuple(chain(*(table_warnings(folder, *pair) for pair in pairs)))
        self._sign_ins, self._operations = _TimedTable(sign_ins), _TimedTable(operations)
        self._tables = {
            SIGN_IN_TABLE.name: self._sign_ins,
            OPERATION_TABLE.name: self._operations,
        }
        self._allowlist = [entry for (entry,) in allowlist.rows] if allowlist else []
        self._allowlist_state = _state_of(missing=allowlist is None, rows=len(self._allowlist))
        self._exclusions = exclusions.rows if exclusions else []
        past = read_table_file(folder, PAST_CHANGES_TABLE, KEEP_ALL)
        self._past = [PastChange(*row) for row in past.rows] if past else []
        signed_in = map(itemgetter(IDENTITY), sign_ins.rows if sign_ins else ())
        self._details = RecordedDetails(folder, signed_in)

    @property
    def context(self) -> "RecordedSource":
        """This source itself: the folder holds the context as well."""
        return self

    def clock(self) -> None:
        """Return None: a recording has no clock, so any moment can be the present."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Count the rows whose `IngestionTime` lies in (since, now]."""
        total = Arrivals()
        for name, table in self._tables.items():
            times = list(table.arrived(since, now))
            reachable = [time for time in times if time > too_late]
            arrivals = Arrivals(
                earliest=min(reachable, default=None),
                late=sum(time <= examined for time in reachable),
                too_late=len(times) - len(reachable),
                missing=frozenset({name} if table.missing else ()),
            )
            total = total.joined(arrivals)
        return total

    def parts(self, window: Window, now: int, settings: RuleSettings) -> Iterator[Logs]:
        """Yield the whole window as one part, since the folder is in memory anyway."""
        del settings  # the rule applies them to the rows
        yield self.read(window, now)

    def read(self, window: Window, now: int) -> Logs:
        """Return the rows of the window that had arrived at `now`, and the allowlist."""
        rows_read = {
            SIGN_IN_TABLE.name: self._sign_ins.count(window, now),
            OPERATION_TABLE.name: self._operations.count(window, now),
        }
        return Logs(
            sign_ins=self._sign_ins.within(window, now),
            operations=self._operations.within(window, now),
            allowlist=self._allowlist,
            states={
                SIGN_IN_TABLE.name: self._sign_ins.state(rows_read[SIGN_IN_TABLE.name]),
                OPERATION_TABLE.name: self._operations.state(rows_read[OPERATION_TABLE.name]),
                ALLOWLIST_TABLE.name: self._allowlist_state,
            },
            read=rows_read,
            latest={
                SIGN_IN_TABLE.name: self._sign_ins.latest(now),
                OPERATION_TABLE.name: self._operations.latest(now),
            },
            bytes_read=self._bytes,
            warnings=self._warnings,
            remedies=self._remedies,
        )

    def exclusions(self) -> list[ExclusionRow]:
        """Return the rows of the exclusions' file."""
        return self._exclusions

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return the corroborating actions of these identities in the window."""
        del settings
        return corroborating_actions(self._operations.within(window, now), identities)

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Return the details of these identities in the window."""
        return self._details.select(identities, window, now)

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the past changes of (start, end], and the successful ones among the rows."""
        rows = self._operations.within(Window(start, end, Mode.BACKFILL), end)
        changes = match_operations(rows, start, end, settings).by_identity
        past = [change for change in self._past if start < change.time <= end]
        columns = itemgetter(TIME, IDENTITY, OPERATION_NAME, RESOURCE_GROUP, CALLER_ADDRESS)
        return [*past, *map(PastChange._make, map(columns, chain.from_iterable(changes.values())))]


class _TimedTable:
    """The candidate rows of one table, and the times (ticks) of all its rows."""

    def __init__(self, table: Table | None) -> None:
        self.missing = table is None
        none = array("q")
        rows, row_arrivals = (table.rows, table.row_arrivals) if table else ([], none)
        times, arrivals = (table.times, table.arrivals) if table else (none, none)
        self._candidates = _TimeOrdered(rows, itemgetter(TIME), row_arrivals)
        self._all = _TimeOrdered(times, int, arrivals)
        self._earliest = min(times, default=0)
        self._newest = max(times, default=None)
        self._latest: dict[int, int | None] = {}

    def within(self, window: Window, now: int) -> list[Any]:
        """Return the candidates of the window that had arrived at `now`."""
        return list(self._select(self._candidates, window, now))

    def count(self, window: Window, now: int) -> int:
        """Return how many rows the window has that had arrived at `now`."""
        return len(self._select(self._all, window, now))

    def arrived(self, since: int, now: int) -> Iterator[int]:
        """Yield the times of the rows ingested in (since, now]."""
        for time, ingested in zip(self._all.items, self._all.arrivals, strict=False):
            if since < ingested <= now:
                yield time

    def latest(self, now: int) -> int | None:
        """Return the time of the newest row that had arrived at `now`."""
        if now not in self._latest:
            newest, arrivals = self._newest, self._all.arrivals
            if arrivals or (newest is not None and newest > now):
                pairs = zip(self._all.items, arrivals or repeat(ALREADY_ARRIVED), strict=False)
                times = (time for time, moment in pairs if moment <= now)
                newest = max((time for time in times if time <= now), default=None)
            self._latest = {now: newest}
        return self._latest[now]

    def state(self, rows: int) -> SourceState:
        """Return the table's state, given how many rows the window has."""
        return _state_of(missing=self.missing, rows=rows)

    def _select(self, items: "_TimeOrdered", window: Window, now: int) -> Sequence[Any]:
        """Return the items of the window that had arrived at `now`."""
        # Usually the window covers the recording, and then nothing has to be sorted.
        if self._newest is None or (window.start < self._earliest and self._newest <= window.end):
            return items.arrived(0, len(items.items), now)
        return items.arrived(*items.slice_of(window), now)


class _TimeOrdered:
    """Items with a time (ticks) and an arrival (ticks) if known, sorted by time on first need."""

    def __init__(
        self, items: Sequence[Any], time_of: Callable[[Any], int], arrivals: "array[int]"
    ) -> None:
        self.items = items
        self.arrivals = arrivals
        self._time_of = time_of
        self._sorted = False

    def slice_of(self, window: Window) -> tuple[int, int]:
        """Return the slice (low, high) of the items whose time lies in the window."""
        if not self._sorted:
            order = sorted(
                range(len(self.items)), key=lambda index: self._time_of(self.items[index])
            )
            self.items = [self.items[index] for index in order]
            if self.arrivals:
                self.arrivals = array("q", [self.arrivals[index] for index in order])
            self._sorted = True
        low = bisect_right(self.items, window.start, key=self._time_of)
        return low, bisect_right(self.items, window.end, key=self._time_of)

    def arrived(self, low: int, high: int, now: int) -> Sequence[Any]:
        """Return those of items[low:high] that had arrived at `now`."""
        items = self.items[low:high]
        if not self.arrivals:
            return items
        pairs = zip(items, self.arrivals[low:high], strict=True)
        return [item for item, moment in pairs if moment <= now]


def _state_of(*, missing: bool, rows: int) -> SourceState:
    if missing:
        return SourceState.MISSING
    return SourceState.OK if rows else SourceState.EMPTY
