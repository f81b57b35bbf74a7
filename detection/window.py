"""The windows that are due, and the time that each of them covers."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from detection.rule.filters import RuleSettings
from detection.rule.ticks import HOUR, MINUTE

INTERVAL = HOUR
VISIBILITY_MARGIN = 10 * MINUTE  # rows ingested this recently may not be visible to a query yet
LONG_AGO = 0  # 1970: before there were logs


class Mode(StrEnum):
    """The reason why a window is examined now."""

    SCHEDULED = "Scheduled"
    CATCH_UP = "CatchUp"
    BACKFILL = "Backfill"


@dataclass(frozen=True, slots=True)
class Window:
    """The rows with start < TimeGenerated <= end, in ticks."""

    start: int
    end: int
    mode: Mode


class Seen(NamedTuple):
    """The rows that earlier windows have read: those up to `until` that had arrived at `at`.

    Both are in ticks.
    """

    until: int
    at: int


class Plan(NamedTuple):
    """The due windows in order, and the hours (start, end] that are too long ago for a window."""

    windows: list[Window]
    gap: tuple[int, int] | None


def due_windows(
    watermark: int | None, now: int, settings: RuleSettings, known_from: int = LONG_AGO
) -> Plan:
    """Return the windows due at `now`: hourly since the watermark, and one that ends at `now`.

    Without a watermark only the last one is due; with `now` at or before the watermark none. Hours
    more than `max_catch_up` before `now` are the gap, and so are hours before `known_from`: a
    window there would report operations again that the ledger has forgotten.
    """
    if watermark is None:
        return Plan([Window(now - settings.lookback, now, Mode.SCHEDULED)], None)
    if now <= watermark:
        return Plan([], None)
    oldest = min(max(now - settings.max_catch_up, known_from), now)
    gap = (watermark, oldest) if watermark < oldest else None
    if oldest == now:
        return Plan([], gap)
    windows = _hourly(max(watermark, oldest), now, Mode.CATCH_UP, settings, known_from)
    last = windows[-1]
    return Plan([*windows[:-1], Window(last.start, last.end, Mode.SCHEDULED)], gap)


def backfill_windows(start: int, end: int, settings: RuleSettings) -> list[Window]:
    """Return the hourly windows after `start`, the last of which ends at `end`."""
    return _hourly(start, end, Mode.BACKFILL, settings)


def windows_until(
    ends: Iterable[int], watermark: int | None, settings: RuleSettings, known_from: int = LONG_AGO
) -> list[Window]:
    """Return a window for each of these ends that is later than the watermark, in order.

    Hours between two ends have no rows, so no window needs to start earlier for them.
    """
    return [
        Window(max(end - settings.lookback, known_from), end, Mode.CATCH_UP)
        for end in sorted(ends)
        if watermark is None or end > watermark
    ]


def reach_back(
    window: Window, earliest: int | None, settings: RuleSettings, known_from: int
) -> Window:
    """Return the window, begun earlier if a late row needs it: `earliest` is its time (ticks).

    A row at or before start + span may lack part of its hour of sign-ins. The start is exclusive,
    so one tick more is needed for a sign-in exactly `span` before that row. The window never starts
    before `known_from`: the ledger has forgotten the reported operations of earlier times.
    """
    if earliest is None or earliest > window.start + settings.span:
        return window
    start = max(earliest - settings.span - 1, known_from)
    return Window(min(start, window.start), window.end, window.mode)


def _hourly(
    previous: int, now: int, mode: Mode, settings: RuleSettings, known_from: int = LONG_AGO
) -> list[Window]:
    """Return the windows that end an interval apart after `previous`, the last one at `now`.

    If the previous window ended more than lookback - span before, the window starts at that end
    minus the span, so that every operation has its whole hour of sign-ins.
    """
    ends = list(range(previous + INTERVAL, now - INTERVAL + 1, INTERVAL))
    windows = []
    for end in [*ends, now]:
        start = max(min(end - settings.lookback, previous - settings.span), known_from)
        windows.append(Window(start, end, mode))
        previous = end
    return windows


def earliest_late(settings: RuleSettings, arrivals_until: int, now: int) -> int:
    """Return the time up to which a row that arrives after `arrivals_until` is too late (ticks).

    Its delay is then `max_lateness` or more. After a table was missing, `max_catch_up` limits the
    time since `arrivals_until`, as it limits the catching up of missed runs.
    """
    return max(arrivals_until, now - settings.max_catch_up) - settings.max_lateness


def forget_until(settings: RuleSettings, watermark: int, arrivals_until: int, now: int) -> int:
    """Return the time that no later window reaches: the ledger may forget operations up to it.

    Later windows end after the watermark, and reach back for rows that are not too late.
    """
    late = earliest_late(settings, arrivals_until, now) - settings.span - 1
    return min(late, watermark - settings.lookback, watermark - settings.span)
