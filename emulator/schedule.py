"""The times at which the timer fires over a recording: once in each hour that has rows."""

from collections.abc import Iterable, Iterator

from detection.rule.ticks import HOUR


def timer_times(times: Iterable[int], lookback: int) -> Iterator[int]:
    """Yield the full hours (ticks) at which the timer fires, without an end.

    `times` (ticks) are those of the rows, at least one. The timer fires first when a window of
    `lookback` ticks is full, but not later than the end of the last hour with rows. Hours without
    rows are passed over. After the last hour with rows, every hour follows.
    """
    ends = sorted({-(-time // HOUR) * HOUR for time in times})
    at = min(ends[0] - HOUR + lookback, ends[-1])
    yield at
    for end in ends:
        if end > at:
            at = end
            yield at
    while True:
        at += HOUR
        yield at
