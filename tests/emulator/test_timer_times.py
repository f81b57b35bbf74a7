"""The timer fires in each recorded hour, and every hour afterwards."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from detection.rule.ticks import DAY, HOUR, MINUTE, parse_time
from emulator.schedule import timer_times

TEN = parse_time("2026-03-14T10:00:00Z")


def first_times(times: list[int], count: int, lookback: int = 2 * HOUR) -> list[float]:
    """Return the first times, in hours from TEN."""
    return [(at - TEN) / HOUR for at in islice(timer_times(times, lookback), count)]


def test_the_first_run_has_a_full_window() -> None:
    """The timer fires first when a window is full, or when there are no later rows."""
    half_past = TEN + 30 * MINUTE
    assert first_times([half_past, half_past + 4 * HOUR], 3) == [2, 5, 6]
    assert first_times([half_past], 3) == [1, 2, 3]
    assert first_times([TEN], 2) == [0, 1]


def test_hours_without_rows_are_passed_over() -> None:
    """In a gap the timer does not fire, however long it is."""
    assert first_times([TEN, TEN + 3 * HOUR, TEN + 9000 * HOUR], 5) == [1, 3, 9000, 9001, 9002]


@given(st.lists(st.integers(0, 20 * DAY // MINUTE), min_size=1, max_size=20), st.integers(1, 30))
def test_each_hour_with_rows_has_its_run(minutes: list[int], hours: int) -> None:
    """Full hours follow in order; the window of the first holds all rows until then."""
    rows = [TEN + minute * MINUTE for minute in minutes]
    found = []
    for at in timer_times(rows, hours * HOUR):
        found.append(at)
        if at >= max(rows):
            break
    assert all(at % HOUR == 0 for at in found)
    assert found == sorted(set(found))
    assert found[0] - hours * HOUR <= min(rows) or len(found) == 1
    assert {-(-row // HOUR) * HOUR for row in rows if row > found[0]} == set(found[1:])
