"""The windows that an invocation owes, and how far each reaches back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from detection.rule.ticks import DAY, HOUR, MINUTE

INTERVAL = HOUR
VISIBILITY_MARGIN = 10 * MINUTE  # rows ingested this recently may not be visible to a query yet
LONG_AGO = 0  # 1970: before there were logs


class Mode(StrEnum):
    """Why a window is examined now."""

    SCHEDULED = "Scheduled"
    CATCH_UP = "CatchUp"
    BACKFILL = "Backfill"


@dataclass(frozen=True, slots=True)
class Window:
    """The rows with start < TimeGenerated <= end, in ticks."""

    start: int
    end: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Timing:
    """How far windows reach, all in ticks."""

    lookback: int = 2 * HOUR
    span: int = HOUR
    max_catch_up: int = 7 * DAY
    max_lateness: int = DAY

    def earliest_late(self, arrivals_until: int, now: int) -> int:
        """Return the moment up to which a row that arrives after `arrivals_until` is too late.

        Its delay is then `max_lateness` or more. A table that was missing for long is made good as
        far back as missed runs are.
        """
        return max(arrivals_until, now - self.max_catch_up) - self.max_lateness

    def horizon(self, watermark: int, arrivals_until: int, now: int) -> int:
        """Return the moment that no later window will reach: operations up to it may be forgotten.

        Later windows end after the watermark, and reach back for rows that were not too late.
        """
        late = self.earliest_late(arrivals_until, now) - self.span - 1
        return min(late, watermark - self.lookback, watermark - self.span)


class Plan(NamedTuple):
    """The windows due, in order, and the (start, end] that no window can make good any more."""

    windows: list[Window]
    gap: tuple[int, int] | None


def due_windows(
    watermark: int | None, now: int, timing: Timing, known_from: int = LONG_AGO
) -> Plan:
    """Return the windows owed at `now`: hourly since the watermark, and one that ends at `now`.

    Without a watermark only the latter; with `now` at or before the watermark none. What lies
    more than `max_catch_up` before `now` is the gap, and so is what lies before `known_from`: no
    window starts where reported operations have been forgotten, or they would be reported again.
    """
    if watermark is None:
        return Plan([Window(now - timing.lookback, now, Mode.SCHEDULED)], None)
    if now <= watermark:
        return Plan([], None)
    oldest = min(max(now - timing.max_catch_up, known_from), now)
    gap = (watermark, oldest) if watermark < oldest else None
    if oldest == now:
        return Plan([], gap)
    windows = _hourly(max(watermark, oldest), now, Mode.CATCH_UP, timing, known_from)
    last = windows[-1]
    return Plan([*windows[:-1], Window(last.start, last.end, Mode.SCHEDULED)], gap)


def backfill_windows(start: int, end: int, timing: Timing) -> list[Window]:
    """Return the hourly windows after `start`, the last of which ends at `end`."""
    return _hourly(start, end, Mode.BACKFILL, timing)


def reach_back(window: Window, earliest: int | None, timing: Timing, known_from: int) -> Window:
    """Return `window` begun early enough to hold every pair of a row as old as `earliest`.

    A row at or before start + span is not sure of its whole hour of sign-ins. The start is
    exclusive, so one tick more is needed for a sign-in exactly `span` before that row. Never
    before `known_from`: what was reported of earlier times is not known any more, or what lay
    there was nobody's to report, because the first window of all began later.
    """
    if earliest is None or earliest > window.start + timing.span:
        return window
    start = max(earliest - timing.span - 1, known_from)
    return Window(min(start, window.start), window.end, window.mode)


def _hourly(
    previous: int, now: int, mode: Mode, timing: Timing, known_from: int = LONG_AGO
) -> list[Window]:
    """Return the windows that end an interval apart after `previous`, the last one at `now`.

    Where the step since the previous window is longer than lookback - span, the window starts
    at the previous end - span, so that every operation has its whole hour of sign-ins.
    """
    ends = list(range(previous + INTERVAL, now - INTERVAL + 1, INTERVAL))
    windows = []
    for end in [*ends, now]:
        start = max(min(end - timing.lookback, previous - timing.span), known_from)
        windows.append(Window(start, end, mode))
        previous = end
    return windows
