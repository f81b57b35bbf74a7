"""Reads a folder of recorded tables as if it were a workspace.

The files are `AADManagedIdentitySignInLogs.json`, `AzureActivity.json`, `NetworkAllowlist.json`,
`ManagedIdentityExclusions.json` and `PastChanges.json`; a file that is absent is a missing table. A
row has arrived once its `IngestionTime` has passed; a row without one is always there, and never
late.
"""

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
from detection.sources import Arrivals
from detection.sources.context import corroborating_actions
from detection.sources.prefilter import KEEP_ALL, OPERATION_CANDIDATES, SIGN_IN_CANDIDATES
from detection.sources.recorded.identity_details import RecordedDetails
from detection.sources.recorded.table_files import (
    misnamed_files,
    missing_table_advice,
    read_table_file,
    table_path,
    table_warnings,
)
from detection.sources.recorded.timed_table import TimedTable, state_of
from detection.window import Mode, Seen, Window

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
        self._sign_ins, self._operations = TimedTable(sign_ins), TimedTable(operations)
        self._tables = {
            SIGN_IN_TABLE.name: self._sign_ins,
            OPERATION_TABLE.name: self._operations,
        }
        self._allowlist = [entry for (entry,) in allowlist.rows] if allowlist else []
        self._allowlist_state = state_of(missing=allowlist is None, rows=len(self._allowlist))
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
