"""The clock of the emulated services: it shows a chosen time and runs on from there."""

import time

from detection.rule.ticks import SECOND


class Clock:
    """A clock that can be set."""

    def __init__(self, now: int) -> None:
        """`now` is in ticks."""
        self.set(now)

    def set(self, now: int) -> None:
        """Set the clock to a time (ticks)."""
        self._set_to, self._set_at = now, time.monotonic()

    def now(self) -> int:
        """Return the time (ticks)."""
        return self._set_to + round((time.monotonic() - self._set_at) * SECOND)
