"""Which windows are due, how far back each reaches, and what may be forgotten."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, parse_time
from detection.window import (
    Mode,
    Plan,
    Window,
    backfill_windows,
    due_windows,
    earliest_late,
    forget_until,
    reach_back,
)

TEN = parse_time("2026-03-14T10:00:00Z")
USUAL = RuleSettings()
ODD_STEPS = st.one_of(
    st.integers(1, 3 * DAY),
    st.integers(0, 60).flatmap(lambda hours: st.integers(hours * HOUR - 9, hours * HOUR + 9)),
).filter(lambda step: step > 0)


@st.composite
def window_settings(draw: st.DrawFn) -> RuleSettings:
    """Draw settings as start-up accepts them."""
    span = draw(st.sampled_from((SECOND, 30 * MINUTE, HOUR, 3 * HOUR)))
    more = draw(st.sampled_from((0, 1, 10 * MINUTE, HOUR, DAY)))
    return RuleSettings(
        lookback=HOUR + span + more,
        span=span,
        max_catch_up=draw(st.sampled_from((HOUR, 90 * MINUTE, 5 * HOUR, DAY))),
        max_lateness=draw(st.sampled_from((SECOND, HOUR, DAY))),
    )


def test_the_first_window_of_all_is_the_lookback_before_now() -> None:
    """Without a watermark only the window that ends at now is due."""
    assert due_windows(None, TEN, USUAL) == Plan(
        [Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)], None
    )


@pytest.mark.parametrize("watermark", [TEN, TEN + 1, TEN + 30 * DAY])
def test_nothing_is_due_up_to_the_watermark(watermark: int) -> None:
    """With now at or before the watermark no window is due and nothing is given up."""
    assert due_windows(watermark, TEN, USUAL) == Plan([], None)


def test_an_hour_later_one_window_is_due() -> None:
    """A timer on time owes one window of two hours."""
    assert due_windows(TEN - HOUR, TEN, USUAL) == Plan(
        [Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)], None
    )


def test_a_window_soon_after_the_last_looks_back_as_far_as_ever() -> None:
    """A run one tick after the last examines a whole window that ends at now."""
    assert due_windows(TEN - 1, TEN, USUAL).windows == [Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)]


@pytest.mark.parametrize("late", [1, SECOND, 7 * SECOND, 59 * MINUTE, HOUR - 1])
def test_a_late_timer_begins_its_window_a_span_before_the_last_end(late: int) -> None:
    """A window that ends late begins where the first new operation's hour begins."""
    assert due_windows(TEN - HOUR - late, TEN, USUAL).windows == [
        Window(TEN - 2 * HOUR - late, TEN, Mode.SCHEDULED)
    ]


def test_missed_hours_are_caught_up_in_order() -> None:
    """Every missed hour has its window, and the one that ends at now is the scheduled one."""
    windows = due_windows(TEN - 3 * HOUR, TEN, USUAL).windows
    assert windows == [
        Window(TEN - 4 * HOUR, TEN - 2 * HOUR, Mode.CATCH_UP),
        Window(TEN - 3 * HOUR, TEN - HOUR, Mode.CATCH_UP),
        Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED),
    ]


def test_a_catch_up_that_is_not_whole_hours_ends_with_a_longer_step() -> None:
    """No window ends less than an hour before the one that ends at now."""
    ends = [window.end for window in due_windows(TEN - 150 * MINUTE, TEN, USUAL).windows]
    assert ends == [TEN - 90 * MINUTE, TEN]


def test_two_hours_behind_owe_two_windows() -> None:
    """A window that ends exactly an hour before now is owed."""
    ends = [window.end for window in due_windows(TEN - 2 * HOUR, TEN, USUAL).windows]
    assert ends == [TEN - HOUR, TEN]


def test_what_is_older_than_the_limit_is_a_gap() -> None:
    """Beyond MAX_CATCH_UP windows are given up, and the gap says which time that is."""
    windows, gap = due_windows(TEN - 9 * DAY, TEN, USUAL)
    assert gap == (TEN - 9 * DAY, TEN - 7 * DAY)
    assert len(windows) == 7 * 24
    assert windows[0] == Window(TEN - 7 * DAY - HOUR, TEN - 7 * DAY + HOUR, Mode.CATCH_UP)


@pytest.mark.parametrize(("behind", "gap"), [(0, None), (1, (TEN - 7 * DAY - 1, TEN - 7 * DAY))])
def test_exactly_the_limit_is_no_gap(behind: int, gap: tuple[int, int] | None) -> None:
    """A watermark exactly MAX_CATCH_UP ago is still caught up, one tick more is given up."""
    assert due_windows(TEN - 7 * DAY - behind, TEN, USUAL).gap == gap


@given(window_settings(), ODD_STEPS)
def test_the_windows_due_follow_the_definition(settings: RuleSettings, behind: int) -> None:
    """Ends are an interval apart after the watermark or the gap, then now, whatever the time."""
    windows, gap = due_windows(TEN - behind, TEN, settings)
    previous = TEN - behind
    if behind > settings.max_catch_up:
        assert gap == (previous, TEN - settings.max_catch_up)
        previous = TEN - settings.max_catch_up
    else:
        assert gap is None
    ends: list[int] = []
    while previous + HOUR * (len(ends) + 1) <= TEN - HOUR:
        ends.append(previous + HOUR * (len(ends) + 1))
    assert [window.end for window in windows] == [*ends, TEN]
    assert [window.mode for window in windows] == [*[Mode.CATCH_UP] * len(ends), Mode.SCHEDULED]


@given(window_settings(), ODD_STEPS)
def test_each_operation_has_its_whole_span_of_sign_ins(settings: RuleSettings, behind: int) -> None:
    """Operations after the previous end have all of their span, and no window is too short."""
    windows, gap = due_windows(TEN - behind, TEN, settings)
    previous = gap[1] if gap else TEN - behind
    for window in windows:
        earliest_operation = previous + 1
        assert window.start < earliest_operation - settings.span
        assert window.start <= window.end - settings.lookback
        assert window.start == min(window.end - settings.lookback, previous - settings.span)
        previous = window.end
    assert previous == TEN


@given(window_settings(), st.lists(ODD_STEPS, min_size=1, max_size=6))
def test_a_history_of_runs_examines_every_moment(settings: RuleSettings, steps: list[int]) -> None:
    """However runs are spread, every operation is in a window with its span or in a gap."""
    now = TEN
    watermark: int | None = None
    covered = TEN
    for step in steps:
        windows, gap = due_windows(watermark, now, settings)
        if gap is not None:
            assert gap[0] == covered
            covered = gap[1]
        for window in windows:
            assert watermark is None or window.start + settings.span <= covered
            assert window.end > covered or watermark is None
            covered = window.end
        assert covered == now
        watermark = covered
        now += step


def test_backfill_examines_the_hours_between() -> None:
    """A backfill's windows are hourly after its beginning and the last ends at its end."""
    assert backfill_windows(TEN - 150 * MINUTE, TEN, USUAL) == [
        Window(TEN - 210 * MINUTE, TEN - 90 * MINUTE, Mode.BACKFILL),
        Window(TEN - 150 * MINUTE, TEN, Mode.BACKFILL),
    ]


def test_a_short_backfill_is_one_window() -> None:
    """Less than an hour makes one window, as long as any."""
    assert backfill_windows(TEN - MINUTE, TEN, USUAL) == [
        Window(TEN - 2 * HOUR, TEN, Mode.BACKFILL)
    ]


@given(window_settings(), ODD_STEPS)
def test_backfill_equals_a_catch_up_from_its_beginning(settings: RuleSettings, length: int) -> None:
    """The windows of a backfill are those of a catch-up with a limit that is long enough."""
    patient = replace(settings, max_catch_up=4 * DAY)
    caught_up = due_windows(TEN - length, TEN, patient).windows
    backfilled = backfill_windows(TEN - length, TEN, settings)
    assert [(w.start, w.end) for w in backfilled] == [(w.start, w.end) for w in caught_up]
    assert {window.mode for window in backfilled} == {Mode.BACKFILL}


NEXT = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
LONG_AGO = TEN - 90 * DAY


@pytest.mark.parametrize("earliest", [None, TEN - HOUR + 1, TEN, TEN + HOUR])
def test_without_late_rows_the_window_stays(earliest: int | None) -> None:
    """Rows that have their whole span in the window do not change it."""
    assert reach_back(NEXT, earliest, USUAL, LONG_AGO) == NEXT


@pytest.mark.parametrize("before", [0, 1, MINUTE, HOUR, 20 * HOUR])
def test_a_late_row_has_its_whole_span_in_the_window(before: int) -> None:
    """The window begins one tick more than a span before the row, as its start is left out.

    That holds for a row exactly at start + span too, whose earliest sign-in is at the start.
    """
    row = NEXT.start + HOUR - before
    assert reach_back(NEXT, row, USUAL, LONG_AGO) == Window(
        row - HOUR - 1, NEXT.end, Mode.SCHEDULED
    )


def test_reaching_back_stops_where_the_watch_began() -> None:
    """What lay before the first window of all is not examined because a row came late."""
    watched_from = NEXT.start - MINUTE
    reached = reach_back(NEXT, NEXT.start - 5 * HOUR, USUAL, watched_from)
    assert reached == Window(watched_from, NEXT.end, Mode.SCHEDULED)


def test_reaching_back_never_begins_later() -> None:
    """A watch that began inside the window does not cut it."""
    assert reach_back(NEXT, NEXT.start, USUAL, NEXT.start + MINUTE) == NEXT


@given(
    window_settings(),
    st.one_of(st.integers(-2 * DAY, HOUR), st.integers(-3, 3)),
    st.integers(-2 * DAY, 0),
)
def test_reaching_back_is_as_far_as_needed(settings: RuleSettings, row: int, watched: int) -> None:
    """The row's span is inside, or begins before the watch; end and mode stay."""
    window = Window(TEN - settings.lookback, TEN, Mode.CATCH_UP)
    earliest, watched_from = window.start + settings.span + row, window.start + watched
    reached = reach_back(window, earliest, settings, watched_from)
    assert (reached.end, reached.mode) == (window.end, window.mode)
    assert reached.start <= window.start
    assert reached.start < earliest - settings.span or reached.start == watched_from
    assert reached.start in (window.start, earliest - settings.span - 1, watched_from)
    assert reach_back(reached, earliest, settings, watched_from) == reached


@given(
    window_settings(),
    st.integers(0, 2 * DAY),
    st.lists(ODD_STEPS, min_size=1, max_size=4),
    st.data(),
)
def test_nothing_is_forgotten_that_a_later_window_reaches(
    settings: RuleSettings, behind: int, steps: list[int], data: st.DataObject
) -> None:
    """No operation after the start of any later window is at or before the horizon.

    The row that a later run hears of is any that arrived since the run before and is not too late.
    """
    now = TEN
    watermark, arrivals_until = now - behind, now - 10 * MINUTE
    horizon = forget_until(settings, watermark, arrivals_until, now)
    for step in steps:
        now += step
        windows, _ = due_windows(watermark, now, settings)
        too_late = earliest_late(settings, arrivals_until, now)
        near = st.integers(too_late + 1, too_late + 9)
        earliest = data.draw(st.one_of(near, st.integers(too_late + 1, now)))
        first = reach_back(windows[0], earliest, settings, LONG_AGO)
        for window in (first, *windows[1:]):
            assert window.start + 1 > horizon
        committed = data.draw(st.integers(1, len(windows)))  # a run may end early
        watermark, arrivals_until = windows[committed - 1].end, now - 10 * MINUTE
        assert forget_until(settings, watermark, arrivals_until, now) >= horizon
        horizon = forget_until(settings, watermark, arrivals_until, now)


def test_the_horizon_is_as_old_as_the_latest_row_that_counts() -> None:
    """In the usual rhythm it lies a day, an hour and ten minutes before the last run."""
    assert forget_until(USUAL, TEN, TEN - 10 * MINUTE, TEN) == TEN - DAY - HOUR - 10 * MINUTE - 1


def test_the_horizon_follows_a_watermark_that_lags() -> None:
    """While windows are owed from long ago, what they reach is kept."""
    assert forget_until(USUAL, TEN - 5 * DAY, TEN - 10 * MINUTE, TEN) == TEN - 5 * DAY - 2 * HOUR
