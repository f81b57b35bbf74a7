"""Where log rows come from."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from detection.rule.correlate import Detection
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import Logs
from detection.sources.context import ContextSource
from detection.window import Window


class Arrivals(NamedTuple):
    """What came in since the last run about times that it had examined already.

    `earliest` is the earliest TimeGenerated (ticks) of all rows that came in and are not too
    late, or None; `late` counts those of examined times, `too_late` those no window reaches.
    `missing` names the tables that are not there.
    """

    earliest: int | None = None
    late: int = 0
    too_late: int = 0
    missing: frozenset[str] = frozenset()

    def joined(self, other: "Arrivals") -> "Arrivals":
        """Return both together."""
        both = (self.earliest, other.earliest)
        return Arrivals(
            min((time for time in both if time is not None), default=None),
            self.late + other.late,
            self.too_late + other.too_late,
            self.missing | other.missing,
        )


class Correlated(NamedTuple):
    """A part of a window that was correlated, or only counted, where its rows are."""

    logs: Logs  # none of the rows, but all that is known beside them
    detection: Detection


class LogSource(Protocol):
    """Reads one workspace. Every method raises SourceError rather than return less than all."""

    @property
    def context(self) -> ContextSource:
        """What else the workspace knows about findings."""
        ...

    def clock(self) -> int | None:
        """Return the time of the workspace's own clock (ticks); None for one that has none."""
        ...

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Look at the rows ingested in (since, now]; those up to `too_late` are too late.

        Those of times after `too_late` and up to `examined` are late.
        """
        ...

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield all rows of the window that had arrived at `now`, in one part or more.

        All rows of one identity (D3) are in one part. Every part has the allowlist, the tables'
        states and the times of their newest rows.
        """
        ...
