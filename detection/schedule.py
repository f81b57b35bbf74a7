"""The schedule of one invocation: which windows the state owes, and how they move it on."""

from collections.abc import Mapping
from typing import Final

from detection.clocks import check_clock, check_watermark
from detection.errors import UsageError
from detection.rule.rows import OPERATION_TABLE, SIGN_IN_TABLE, SourceState
from detection.rule.ticks import text_of
from detection.sources import Arrivals, LogSource
from detection.state import State
from detection.window import (
    INTERVAL,
    VISIBILITY_MARGIN,
    Mode,
    Plan,
    Timing,
    Window,
    due_windows,
    reach_back,
)

TABLES: Final = (SIGN_IN_TABLE.name, OPERATION_TABLE.name)


class Schedule:
    """The windows due at one moment."""

    def __init__(self, timing: Timing, now: int) -> None:
        """`now` (ticks) is where the last window ends."""
        self._timing = timing
        self._now = now
        self._present = now  # or what the workspace's clock says, if that is earlier
        self._missing = frozenset[str]()  # tables that were missing when their arrivals were asked

    @property
    def latest(self) -> Window:
        """The window that ends at the present moment."""
        return Window(self._now - self._timing.lookback, self._now, Mode.SCHEDULED)

    def plan(self, state: State) -> Plan:
        """Return the windows due, and the gap that no window can make good."""
        return due_windows(state.watermark, self._now, self._timing, state.known_from)

    def check(self, state: State, source: LogSource | None) -> None:
        """Compare the clocks, that of `source` too; raises ClockError, or SourceError."""
        if state.watermark is not None:
            check_watermark(state.watermark, self._now)
            if state.watermark >= self._now:
                return  # nothing is due
        clock = source.clock() if source else None
        if clock is not None:
            check_clock(self._now, clock)
            self._present = min(self._now, clock)

    def reach_back(
        self, window: Window, state: State, source: LogSource
    ) -> tuple[Window, Arrivals]:
        """Begin a window early enough for the rows that have arrived since the last run."""
        since = state.arrivals_until
        if window.mode is Mode.BACKFILL or not since:
            return window, Arrivals()
        too_late = {
            table: max(self._timing.earliest_late(until, self._now), state.ledger.known_from)
            for table, until in since.items()
        }
        arrivals = source.arrivals(
            since, too_late, now=self._now, examined=window.start + self._timing.span
        )
        self._missing |= arrivals.missing
        return reach_back(window, arrivals.earliest, self._timing, state.known_from), arrivals

    def advance(self, state: State, window: Window, states: Mapping[str, SourceState]) -> None:
        """Move the state past an examined window, given the states of the tables in it.

        The mark of a table that was missing stays, or goes back to where the window before ended,
        so that the rows that the window lacked are looked for when the table is back.
        """
        seen = self._present - VISIBILITY_MARGIN
        unseen = (state.watermark or window.start) - VISIBILITY_MARGIN
        missing = {table for table in TABLES if states[table] is SourceState.MISSING}
        state.arrivals_until = {
            table: min(state.arrivals_until.get(table, unseen), unseen)
            if table in missing | self._missing
            else seen
            for table in TABLES
        }
        state.watermark = window.end
        if state.watched_from is None:
            state.watched_from = window.start
        earliest = min(state.arrivals_until.values())
        state.ledger.forget(self._timing.horizon(window.end, earliest, self._now))

    def skip(self, state: State, end: int) -> None:
        """Let the state watch from the end of a gap on.

        What arrived late in the meantime is given up with the gap: reaching back for it would
        examine the whole gap in one window.
        """
        state.watermark = end
        state.watched_from = end - self._timing.span
        state.arrivals_until = dict.fromkeys(TABLES, end)

    def owe(self, state: State, window: Window) -> None:
        """Let the very first window of all stay due where it could not be examined.

        Else a new app whose roles take hours to work would never examine those hours.
        """
        if state.watermark is None and window.mode is not Mode.BACKFILL:
            state.watermark = window.end - INTERVAL

    @staticmethod
    def is_past(window: Window, state: State) -> bool:
        """Whether the state has examined a window of the schedule."""
        return window.mode is not Mode.BACKFILL and (state.watermark or 0) >= window.end


def set_back(state: State, watermark: int) -> None:
    """Let a state have examined nothing after an earlier watermark (ticks); raises UsageError."""
    if state.watermark is None:
        raise UsageError("--set-watermark: nothing was examined yet, so there is no watermark")
    if watermark >= state.watermark:
        raise UsageError(
            f"--set-watermark: {text_of(watermark)} is not before the watermark, "
            f"{text_of(state.watermark)}: hours between would never be examined"
        )
    state.watermark = watermark
    state.arrivals_until = {
        table: min(until, watermark - VISIBILITY_MARGIN)
        for table, until in state.arrivals_until.items()
    }
