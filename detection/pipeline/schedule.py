"""The schedule of one invocation: which windows the state owes, and how they move it on."""

from collections.abc import Mapping
from typing import Final

from detection.errors import ClockError, StateError
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, SourceState
from detection.rule.ticks import MINUTE, format_time
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

    def __init__(self, timing: Timing, now: int, *, by_clock: bool) -> None:
        """`now` (ticks) is where the last window ends, and `by_clock` if this machine says so."""
        self._timing = timing
        self._now = now
        self._by_clock = by_clock
        self.warnings: list[str] = []
        self._present = now  # or what the workspace's clock says, if that is earlier
        self._missing = False  # whether a table was, at any time of the invocation

    @property
    def latest(self) -> Window:
        """The window that ends at the present moment."""
        return Window(self._now - self._timing.lookback, self._now, Mode.SCHEDULED)

    def plan(self, state: State) -> Plan:
        """Return the windows due, and the gap that no window can make good."""
        return due_windows(state.watermark, self._now, self._timing, state.earliest_start)

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
            self.warnings += filter(None, [behind(self._now, clock) if self._by_clock else ""])

    def reach_back(
        self, window: Window, state: State, source: LogSource
    ) -> tuple[Window, Arrivals]:
        """Begin a window early enough for the rows that have arrived since the last run.

        While a table is missing there is nothing that they could pair with: they wait.
        """
        since, timing = state.arrivals_until, self._timing
        if window.mode is Mode.BACKFILL or since is None:
            return window, Arrivals()
        arrivals = source.arrivals(
            since=since,
            now=self._now,
            examined=window.start + timing.span,
            too_late=max(timing.earliest_late(since, self._now), state.ledger.known_from),
        )
        if arrivals.missing:
            self._missing = True
            return window, Arrivals()
        return reach_back(window, arrivals.earliest, timing, state.earliest_start), arrivals

    def advance(self, state: State, window: Window, states: Mapping[str, SourceState]) -> None:
        """Move the state past an examined window, given the states of the tables in it.

        Without one of the tables a window has paired nothing. So the mark of arrivals stays, or
        goes back to where the window before ended: what both tables took in since then is looked
        for when both are there. A mark for each table would not do: a sign-in that comes late
        while operations are missing belongs to operations that came before.
        """
        # A later window of this invocation does not make good what an earlier one lacked.
        self._missing |= any(states[table] is SourceState.MISSING for table in TABLES)
        if self._missing:
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
        horizon = self._timing.horizon(window.end, state.arrivals_until, self._now)
        state.ledger.forget(horizon)

    def skip(self, state: State, end: int) -> None:
        """Let the state watch from the end of a gap on.

        What arrived late in the meantime is given up with the gap: reaching back for it would
        examine the whole gap in one window.
        """
        state.watermark = end
        state.watched_from = end - self._timing.span
        state.arrivals_until = end

    @staticmethod
    def owe(state: State, window: Window, present: int | None) -> None:
        """Let the very first window of all stay due where it could not be examined.

        Else a new app whose roles take hours to work would never examine those hours. `present`
        is what the workspace's clock says, if this machine's is ahead of it.
        """
        if state.watermark is None and window.mode is not Mode.BACKFILL:
            state.watermark = min(window.end, present or window.end) - INTERVAL

    @staticmethod
    def is_past(window: Window, state: State) -> bool:
        """Whether the state has examined a window of the schedule."""
        return window.mode is not Mode.BACKFILL and (state.watermark or 0) >= window.end


def set_back(state: State, watermark: int, span: int) -> None:
    """Let a state have examined nothing after an earlier watermark (ticks); raises StateError.

    What was reported of the hour before it may be forgotten, and is then reported again: an
    operation after the watermark may belong to a sign-in before it.
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


TOLERANCE = 5 * MINUTE  # two clocks further apart than this are not both right


def check_clock(now: int, clock: int) -> None:
    """Compare this machine's time with the workspace's, both in ticks; raises ClockError."""
    if now > clock + TOLERANCE:
        raise ClockError(
            f"this run takes {_text(now)} for the present, and the workspace's clock says "
            f"{_text(clock)}: set this machine's clock right; nothing was examined, and the next "
            "run that is not ahead examines it",
            clock,
        )


def behind(now: int, clock: int) -> str:
    """Return what to warn of where this machine's time is behind the workspace's; "" if it is not.

    Findings only come that much later.
    """
    if now + TOLERANCE >= clock:
        return ""
    return (
        f"This run takes {_text(now)} for the present, and the workspace's clock says "
        f"{_text(clock)}: findings come that late; set this machine's clock right"
    )


def check_watermark(watermark: int, now: int) -> None:
    """Compare the state's watermark with the present, both in ticks; raises ClockError."""
    if watermark > now + TOLERANCE:
        raise ClockError(
            f"the state says that everything up to {_text(watermark)} was examined, and this run "
            f"takes {_text(now)} for the present: a clock is or was wrong. Set this machine's "
            "clock right; if it is, run once with `--set-watermark TIME`, where TIME is the last "
            "WindowEnd in the run records that was written while the clock was still right"
        )


def _text(moment: int) -> str:
    return f"{format_time(moment)[:19]}Z"
