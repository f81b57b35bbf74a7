"""Reads a folder of recorded tables as if it were a workspace.

A table that no file has rows of is a missing table. A row has arrived once its `IngestionTime` has
passed; a row without one is always there, and never late.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path

from detection.clouds import PUBLIC
from detection.errors import UsageError
from detection.ranking.baseline import PAST_CHANGES_TABLE, PastChange
from detection.ranking.identity_details import DetailRow
from detection.ranking.near_misses import (
    TOKEN_LIFETIME,
    LateChanges,
    is_grave,
    late_changes,
)
from detection.rule.allowlist import Allowlist
from detection.rule.exclusions import EXCLUSIONS_TABLE, ExclusionRow
from detection.rule.filters import RuleSettings, match_operations, match_sign_ins
from detection.rule.kql_text import ascii_lower
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
)
from detection.rule.memo import Memo
from detection.rule.ticks import HOUR
from detection.sources import Arrivals
from detection.sources.context import corroborating_actions
from detection.sources.prefilter import KEEP_ALL, OPERATION_CANDIDATES, SIGN_IN_CANDIDATES
from detection.sources.recorded.files.file_warnings import (
    folder_warnings,
    missing_table_advice,
    table_warnings,
    unread_files,
)
from detection.sources.recorded.files.tables_of_folder import FolderTables
from detection.sources.recorded.identity_details import RecordedDetails
from detection.sources.recorded.timed_table import TimedTable, state_of
from detection.window import Mode, Seen, Window

TABLES = (SIGN_IN_TABLE, OPERATION_TABLE, ALLOWLIST_TABLE)


class RecordedSource:
    """A LogSource and ContextSource over one folder, which is read once and completely."""

    portal = PUBLIC.portal  # a recording does not tell its cloud

    def __init__(self, folder: Path) -> None:
        """Raise UsageError if the folder holds no recording, SourceError if one is unreadable."""
        tables = FolderTables(folder)
        if tables.errors:
            raise tables.errors[0]
        if not any(shape.name in tables.files for shape in TABLES):
            names = ", ".join(shape.name for shape in TABLES)
            unread = f": {unread_files(tables.others)}" if tables.others else ""
            raise UsageError(
                f"{folder} holds no recording: no file has rows of {names}{unread}; "
                f"`python -m detection inspect {folder}` says why"
            )
        self._bytes = sum(path.stat().st_size for path in tables.paths())
        sign_ins = tables.read(SIGN_IN_TABLE, SIGN_IN_CANDIDATES)
        operations = tables.read(OPERATION_TABLE, OPERATION_CANDIDATES)
        allowlist = tables.read(ALLOWLIST_TABLE, KEEP_ALL)
        exclusions = tables.read(EXCLUSIONS_TABLE, KEEP_ALL)
        past = tables.read(PAST_CHANGES_TABLE, KEEP_ALL)
        pairs = (
            (SIGN_IN_TABLE, sign_ins),
            (OPERATION_TABLE, operations),
            (ALLOWLIST_TABLE, allowlist),
        )
        self._remedies = {
            shape.name: missing_table_advice(tables, shape)
            for shape, table in pairs
            if table is None
        }
        self._warnings = (
            *folder_warnings(tables),
            *chain(*(table_warnings(*pair) for pair in pairs)),
        )
        self._sign_ins, self._operations = TimedTable(sign_ins), TimedTable(operations)
        self._tables = {
            SIGN_IN_TABLE.name: self._sign_ins,
            OPERATION_TABLE.name: self._operations,
        }
        self._allowlist = [entry for (entry,) in allowlist.rows] if allowlist else []
        self._allowlist_state = state_of(missing=allowlist is None, rows=len(self._allowlist))
        self._exclusions = exclusions.rows if exclusions else []
        self._past = [PastChange(*row) for row in past.rows] if past else []
        signed_in = map(itemgetter(IDENTITY), sign_ins.rows if sign_ins else ())
        self._details = RecordedDetails(tables, signed_in)
        self.files = tables.paths()
        self._first_read: Window | None = None

    def hours(self) -> dict[int, int]:
        """Return the number of rows of each hour with rows, by the time (ticks) when it ends."""
        times = chain(*(table.times for table in self._tables.values()))
        return dict(sorted(Counter(-(-time // HOUR) * HOUR for time in times).items()))

    def time_range(self) -> tuple[int, int] | None:
        """Return the times (ticks) of the first and the last row; None if there is no row."""
        times = [table.times for table in self._tables.values() if table.times]
        return (min(map(min, times)), max(map(max, times))) if times else None

    def rows_outside(self, start: int, end: int) -> int:
        """Return how many rows do not lie in (start, end] (ticks)."""
        times = chain(*(table.times for table in self._tables.values()))
        return sum(not start < time <= end for time in times)

    def add_warning(self, sentence: str) -> None:
        """Give a warning with the first window that is read, beside those about the files."""
        self._warnings = (*self._warnings, sentence)

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
        self._first_read = self._first_read or window
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
            # Once is enough; a window that is read again has its warnings again.
            warnings=self._warnings if window == self._first_read else (),
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

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Count the grave changes of the window that are too long after a sign-in."""
        rows = self._operations.unseen(window, seen, now)
        grave = [row for row in rows if is_grave(row[OPERATION_NAME])]
        changes = match_operations(grave, window.start, window.end, settings).by_identity
        is_needed = Memo[str, bool](lambda identity: ascii_lower(identity) in changes)
        whole = Window(window.start - TOKEN_LIFETIME, window.end, window.mode)
        sign_ins = [row for row in self._sign_ins.within(whole, now) if is_needed[row[IDENTITY]]]
        matched = match_sign_ins(sign_ins, whole.start, whole.end, allowlist)
        return late_changes(matched.by_identity, changes, settings.span)
