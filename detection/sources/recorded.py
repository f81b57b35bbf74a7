"""A folder of recorded responses, read as if it were a workspace.

`AADManagedIdentitySignInLogs.json`, `AzureActivity.json` and `NetworkAllowlist.json`; one that is
not there is a missing table. A row whose `IngestionTime` lies after the moment of reading has not
arrived; rows without one are simply there, and none of them is late.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any

from detection.errors import SourceError, UsageError
from detection.rule.exclusions import EXCLUSIONS_TABLE, Row
from detection.rule.history import Deed
from detection.rule.rows import (
    ALLOWLIST_TABLE,
    IDENTITY,
    OPERATION,
    OPERATION_TABLE,
    RESOURCE_GROUP,
    SIGN_IN_TABLE,
    TIME,
    Logs,
    Operation,
    SourceState,
    TableShape,
)
from detection.rule.select import RuleSettings, choose_operations
from detection.sources import Arrivals
from detection.sources.background import telling_actions
from detection.sources.decoding import decode_table
from detection.sources.table import ALWAYS_THERE, INGESTION_TIME, Table
from detection.window import Mode, Window


class RecordedSource:
    """A LogSource and Background over one folder, which is read once and whole."""

    def __init__(self, folder: Path) -> None:
        """Raise UsageError if the folder holds no recording, SourceError if one is unreadable."""
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: name one that holds recorded tables")
        shapes = (SIGN_IN_TABLE, OPERATION_TABLE, ALLOWLIST_TABLE)
        files = {shape.name: folder / f"{shape.name}.json" for shape in shapes}
        if not any(path.exists() for path in files.values()):
            names = ", ".join(path.name for path in files.values())
            raise UsageError(f"{folder} holds no recording: expected at least one of {names}")
        self._bytes = sum(path.stat().st_size for path in files.values() if path.exists())
        self._sign_ins = _TimedTable(files[SIGN_IN_TABLE.name], SIGN_IN_TABLE)
        self._operations = _TimedTable(files[OPERATION_TABLE.name], OPERATION_TABLE)
        allowlist = _read(files[ALLOWLIST_TABLE.name], ALLOWLIST_TABLE)
        self._allowlist = [entry for (entry,) in allowlist.rows] if allowlist else []
        self._allowlist_state = _state(missing=allowlist is None, rows=len(self._allowlist))
        exclusions = _read(folder / f"{EXCLUSIONS_TABLE.name}.json", EXCLUSIONS_TABLE)
        self._exclusions = exclusions.rows if exclusions else []

    @property
    def background(self) -> "RecordedSource":
        """The same folder."""
        return self

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Look at the rows whose `IngestionTime` lies in (since, now]."""
        tables = (self._sign_ins, self._operations)
        times = list(chain.from_iterable(table.arrived(since, now) for table in tables))
        reachable = [time for time in times if time > too_late]
        return Arrivals(
            earliest=min(reachable, default=None),
            late=sum(time <= examined for time in reachable),
            too_late=len(times) - len(reachable),
        )

    def read(self, window: Window, now: int) -> Logs:
        """Return the rows of the window that had arrived at `now`, and the allowlist."""
        sign_ins = self._sign_ins.within(window, now)
        operations = self._operations.within(window, now)
        return Logs(
            sign_ins=sign_ins,
            operations=operations,
            allowlist=self._allowlist,
            states={
                SIGN_IN_TABLE.name: self._sign_ins.state(len(sign_ins)),
                OPERATION_TABLE.name: self._operations.state(len(operations)),
                ALLOWLIST_TABLE.name: self._allowlist_state,
            },
            latest={
                SIGN_IN_TABLE.name: self._sign_ins.latest(now),
                OPERATION_TABLE.name: self._operations.latest(now),
            },
            bytes_read=self._bytes,
        )

    def exclusions(self) -> list[Row]:
        """Return the rows of the exclusions' file."""
        return self._exclusions

    def actions(self, identities: Collection[str], window: Window, now: int) -> list[Operation]:
        """Return what the activity of the window says of these identities."""
        return telling_actions(self._operations.within(window, now), identities)

    def history(self, start: int, end: int, settings: RuleSettings) -> list[Deed]:
        """Return the changes that the recording has from before the window."""
        rows = self._operations.within(Window(start, end, Mode.BACKFILL), end)
        chosen = choose_operations(rows, start, end, settings).by_identity
        return [
            (row[TIME], row[IDENTITY], row[OPERATION], row[RESOURCE_GROUP])
            for row in chain.from_iterable(chosen.values())
        ]


class _TimedTable:
    """The rows of one table, and when each arrived if that is known."""

    def __init__(self, path: Path, shape: TableShape) -> None:
        table = _read(path, shape)
        self._missing = table is None
        self._rows: list[Any] = []
        self._ingested: list[int] = []
        self._sorted = False
        self._latest: dict[int, int | None] = {}
        if table is not None:
            self._rows = table.rows
            self._ingested = table.arrivals

    def within(self, window: Window, now: int) -> list[Any]:
        """Return the rows of the window that had arrived at `now`."""
        rows, ingested = self._rows, self._ingested
        times = list(map(itemgetter(TIME), rows))
        if times and not (window.start < min(times) and max(times) <= window.end):
            self._sort()
            low = bisect_right(self._rows, window.start, key=itemgetter(TIME))
            high = bisect_right(self._rows, window.end, key=itemgetter(TIME))
            rows, ingested = self._rows[low:high], self._ingested[low:high]
        if not ingested:
            return rows
        return [row for row, moment in zip(rows, ingested, strict=True) if moment <= now]

    def arrived(self, since: int, now: int) -> Iterator[int]:
        """Yield the times of the rows ingested in (since, now]."""
        for row, ingested in zip(self._rows, self._ingested, strict=False):
            if since < ingested <= now:
                yield row[TIME]

    def latest(self, now: int) -> int | None:
        """Return the time of the newest row that had arrived at `now`."""
        if now not in self._latest:
            newest = max(map(itemgetter(TIME), self._rows), default=None)
            if self._ingested or (newest is not None and newest > now):
                pairs = zip(self._rows, self._ingested or repeat(ALWAYS_THERE), strict=False)
                times = (row[TIME] for row, moment in pairs if moment <= now)
                newest = max((time for time in times if time <= now), default=None)
            self._latest = {now: newest}
        return self._latest[now]

    def state(self, rows: int) -> SourceState:
        """Return the table's state, given how many rows the window has."""
        return _state(missing=self._missing, rows=rows)

    def _sort(self) -> None:
        """Bring the rows into time order, once, so that a window is a slice."""
        if self._sorted:
            return
        order = sorted(range(len(self._rows)), key=lambda position: self._rows[position][TIME])
        self._rows = [self._rows[position] for position in order]
        if self._ingested:
            self._ingested = [self._ingested[position] for position in order]
        self._sorted = True


def _read(path: Path, shape: TableShape) -> Table | None:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_table(body, shape, str(path), INGESTION_TIME)


def _state(*, missing: bool, rows: int) -> SourceState:
    if missing:
        return SourceState.MISSING
    return SourceState.OK if rows else SourceState.EMPTY
