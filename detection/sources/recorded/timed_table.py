"""The rows of one recorded table, selected by their time and their arrival.

A row has arrived once its `IngestionTime` has passed; a row without one is always there.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

from detection.rule.log_rows import TIME, SourceState
from detection.sources.decode.table import ALREADY_ARRIVED, Table
from detection.window import Seen, Window

BEFORE_ALL_ARRIVALS: Final = ALREADY_ARRIVED - 1


class TimedTable:
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

    @property
    def times(self) -> Sequence[int]:
        """The times (ticks) of all rows, in any order."""
        return self._all.items

    def within(self, window: Window, now: int) -> list[Any]:
        """Return the candidates of the window that had arrived at `now`."""
        return list(self._select(self._candidates, window, now))

    def unseen(self, window: Window, seen: Seen, now: int) -> list[Any]:
        """Return the candidates of the window that had arrived at `now`, without those seen."""
        if seen.until <= window.start:
            return self.within(window, now)
        newer = self.within(Window(seen.until, window.end, window.mode), now)
        place = self._candidates.slice_of(Window(window.start, seen.until, window.mode))
        return [*self._candidates.arrived(*place, now, since=seen.at), *newer]

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
        return state_of(missing=self.missing, rows=rows)

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

    def arrived(
        self, low: int, high: int, now: int, *, since: int = BEFORE_ALL_ARRIVALS
    ) -> Sequence[Any]:
        """Return those of items[low:high] that arrived in (since, now]."""
        items = self.items[low:high]
        if not self.arrivals:
            return items if since < ALREADY_ARRIVED else []
        pairs = zip(items, self.arrivals[low:high], strict=True)
        return [item for item, moment in pairs if since < moment <= now]


def state_of(*, missing: bool, rows: int) -> SourceState:
    """Return the state of a table or watchlist with this number of rows."""
    if missing:
        return SourceState.MISSING
    return SourceState.OK if rows else SourceState.EMPTY
