"""The schedule of one invocation: the due windows, and how they advance the state.

The watermark says that everything up to it was examined. A clock that is ahead would write one in
the future, and no window would be due until then. So the clocks are compared first.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from detection.errors import ClockError, StateError
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, SourceState
from detection.rule.ticks import MINUTE, format_time
from detection.sources import Arrivals, LogSource
from detection.state import State
from detection.window import (
    INTERVAL,
    VISIBILITY_MARGIN,
    Mode,
    Plan,
    Seen,
    Window,
    due_windows,
    earliest_late,
    forget_until,
    reach_back,
    windows_until,
)

CLOCK_TOLERANCE: Final = 5 * MINUTE  # of two clocks further apart, one is wrong
TABLES: Final = (SIGN_IN_TABLE.name, OPERATION_TABLE.name)


class Schedule:
    """The schedule at one time."""

    def __init__(self, settings: RuleSettings, now: int, *, by_clock: bool) -> None:
        """`now` (ticks): the end of the last window. `by_clock`: this machine's clock says so."""
        self._settings = settings
        self._now = now
        self._by_clock = by_clock
        self.warnings: list[str] = []
        self._present = now  # or the workspace's time, if that is earlier
        self._table_was_missing = False  # in any window of the invocation

    @property
    def latest(self) -> Window:
        """The window that ends now."""
        return Window(self._now - self._settings.lookback, self._now, Mode.SCHEDULED)

    def plan(self, state: State, ends: Sequence[int] | None = None) -> Plan:
        """Return the due windows, and the gap that is too long ago for a window.

        `ends` are those of the only windows that may be due; then there is no gap.
        """
        if ends is not None:
            start, watermark = state.earliest_start, state.watermark
            return Plan(windows_until(ends, watermark, self._settings, start), None)
        return due_windows(state.watermark, self._now, self._settings, state.earliest_start)

    def check(self, state: State, source: LogSource | None) -> None:
        """Compare the clocks of state, machine and source; raises ClockError or SourceError."""
        if state.watermark is not None:
            check_watermark(state.watermark, self._now)
            if state.watermark >= self._now:
                return  # nothing is due
        clock = source.clock() if source else None
        if clock is not None:
            check_clock(self._now, clock)
            self._present = min(self._now, clock)
            self.warnings += filter(
                None, [warn_if_behind(self._now, clock) if self._by_clock else ""]
            )

    def reach_back(
        self, window: Window, state: State, source: LogSource
    ) -> tuple[Window, Arrivals]:
        """Return a window that starts early enough for rows that arrived since the last run (D9).

        While a table is missing, the window stays: late rows could not pair yet.
        """
        since, settings = state.arrivals_until, self._settings
        if window.mode is Mode.BACKFILL or since is None:
            return window, Arrivals()
        arrivals = source.arrivals(
            since=since,
            now=self._now,
            examined=window.start + settings.span,
            too_late=max(earliest_late(settings, since, self._now), state.ledger.known_from),
        )
        if arrivals.missing:
            self._table_was_missing = True
            return window, Arrivals()
        return reach_back(window, arrivals.earliest, settings, state.earliest_start), arrivals

    def seen(self, window: Window, state: State, previous: Window | None) -> Seen:
        """Return the rows of a window that the schedule's earlier windows have read.

        A backfill starts anew: `previous` is the window before, if this invocation examined one.
        """
        if window.mode is Mode.BACKFILL:
            return Seen(previous.end if previous else window.start, self._now)
        if state.watermark is None or state.arrivals_until is None:
            return Seen(window.start, self._now)
        return Seen(state.watermark, state.arrivals_until + VISIBILITY_MARGIN)

    def advance(self, state: State, window: Window, states: Mapping[str, SourceState]) -> None:
        """Advance the state past an examined window, given the states of its tables.

        If a table was missing, the window has paired nothing. Then `arrivals_until` stays, or goes
        back to the end of the window before, so that rows of both tables are looked for once both
        are there. A mark for each table would lose pairs: a sign-in that arrives late while
        AzureActivity is missing belongs to operations that arrived before.
        """
        # A table that is back in a later window was still missing in an earlier one.
        self._table_was_missing |= any(states[table] is SourceState.MISSING for table in TABLES)
        if self._table_was_missing:
            unseen = (state.watermark or window.start) - VISIBILITY_MARGIN
            known = unseen if state.arrivals_until is None else state.arrivals_until
            state.arrivals_until = min(known, unseen)
        else:
            state.arrivals_until = self._present - VISIBILITY_MARGIN
        state.watermark = window.end
        if state.watched_from is None:
            state.watched_from = window.start
        if state.reopened_from is not None and window.start >= state.known_from:
            state.reopened_from = None
        horizon = forget_until(self._settings, window.end, state.arrivals_until, self._now)
        state.ledger.forget(horizon)

    def skip(self, state: State, end: int) -> None:
        """Go on from the end of a gap.

        Rows that arrived late in the meantime are skipped with the gap: a window that reached back
        for them would contain the whole gap.
        """
        state.watermark = end
        state.watched_from = end - self._settings.span
        state.arrivals_until = end

    @staticmethod
    def keep_first_due(state: State, window: Window, present: int | None) -> None:
        """Keep the very first window due after it could not be examined.

        Otherwise a new app would never examine the hours until its role assignments work.
        `present`: the workspace's time, if this machine's clock is ahead of it.
        """
        if state.watermark is None and window.mode is not Mode.BACKFILL:
            state.watermark = min(window.end, present or window.end) - INTERVAL

    @staticmethod
    def is_past(window: Window, state: State) -> bool:
        """Return True if the state says that a scheduled window was examined."""
        return window.mode is not Mode.BACKFILL and (state.watermark or 0) >= window.end


def set_back(state: State, watermark: int, span: int) -> None:
    """Set the watermark of a state back (ticks), so that later hours are due again.

    Operations of those hours may be reported again where the ledger has forgotten them. Raises
    StateError if the state has no watermark, or an earlier one.
    """
    if state.watermark is None:
        raise StateError("--set-watermark: nothing was examined yet, so there is no watermark")
    if watermark >= state.watermark:
        raise StateError(
            f"--set-watermark: {format_time(watermark)} is not before the watermark, "
            f"{format_time(state.watermark)}: hours between would never be examined"
        )
    state.watermark = watermark
    state.reopened_from = watermark - span
    if state.arrivals_until is not None:
        state.arrivals_until = min(state.arrivals_until, watermark - VISIBILITY_MARGIN)


def check_clock(now: int, clock: int) -> None:
    """Raise ClockError if this machine's time is ahead of the workspace's (both in ticks)."""
    if now > clock + CLOCK_TOLERANCE:
        raise ClockError(
            f"the present time of this run is {_text(now)}, and the workspace's clock says "
            f"{_text(clock)}: set this machine's clock right. Nothing was examined; the next run "
            "with a right clock examines the missed hours",
            clock,
        )


def warn_if_behind(now: int, clock: int) -> str:
    """Return a warning if this machine's time is behind the workspace's (ticks), else ""."""
    if now + CLOCK_TOLERANCE >= clock:
        return ""
    return (
        f"The present time of this run is {_text(now)}, and the workspace's clock says "
        f"{_text(clock)}: findings are late by the difference. Set this machine's clock right"
    )


def check_watermark(watermark: int, now: int) -> None:
    """Raise ClockError if the watermark of a state is later than the present (both in ticks)."""
    if watermark > now + CLOCK_TOLERANCE:
        raise ClockError(
            f"the state says that everything up to {_text(watermark)} was examined, and the "
            f"present time of this run is {_text(now)}: a clock is or was wrong. Set this "
            "machine's clock right; if it is right, run once with `--set-watermark TIME`, where "
            "TIME is the last WindowEnd in the run records that was written while the clock was "
            "still right"
        )


def _text(moment: int) -> str:
    return f"{format_time(moment)[:19]}Z"
