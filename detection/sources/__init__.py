"""Where log rows come from."""

from typing import NamedTuple, Protocol

from detection.rule.rows import Logs
from detection.sources.background import Background
from detection.window import Window


class Arrivals(NamedTuple):
    """What came in since the last run about times that it had examined already.

    `earliest` is the earliest TimeGenerated (ticks) of all rows that came in and are not too
    late, or None; `late` counts those of examined times, `too_late` those no window reaches.
    """

    earliest: int | None = None
    late: int = 0
    too_late: int = 0


class LogSource(Protocol):
    """Reads one workspace. Every method raises SourceError rather than return less than all."""

    @property
    def background(self) -> Background:
        """What else the workspace knows about findings."""
        ...

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Look at the rows ingested in (since, now]; those up to `too_late` are too late.

        Those of times after `too_late` and up to `examined` are late.
        """
        ...

    def read(self, window: Window, now: int) -> Logs:
        """Return all rows of the window that had arrived at `now`, and the allowlist."""
        ...
