"""Sources of log rows: a Log Analytics workspace, or a folder of recorded tables."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from detection.rule.correlate import Detection
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import Logs
from detection.sources.context import ContextSource
from detection.window import Window


class Arrivals(NamedTuple):
    """The numbers of late rows among those that arrived since the last run.

    `earliest` is the earliest TimeGenerated (ticks) of all that arrived and are not too late, or
    None. `late` counts rows of times that were examined before, `too_late` rows of times that no
    window reaches any more. `missing` names the tables that do not exist.
    """

    earliest: int | None = None
    late: int = 0
    too_late: int = 0
    missing: frozenset[str] = frozenset()

    def joined(self, other: "Arrivals") -> "Arrivals":
        """Return the sum of both: the earliest time, the added counts, all missing tables."""
        times = (self.earliest, other.earliest)
        return Arrivals(
            min((time for time in times if time is not None), default=None),
            self.late + other.late,
            self.too_late + other.too_late,
            self.missing | other.missing,
        )


class Correlated(NamedTuple):
    """A part of a window that the workspace correlated or counted; its rows were not read.

    `logs` has the counts and states of the part and none of its rows; `detection` has its groups.
    """

    logs: Logs
    detection: Detection


class LogSource(Protocol):
    """Reads one workspace. A method returns complete results or raises SourceError."""

    @property
    def context(self) -> ContextSource:
        """The source of exclusions, corroborating actions and past changes."""
        ...

    def clock(self) -> int | None:
        """Return the time of the workspace's own clock (ticks); None if it has no clock."""
        ...

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Count the rows ingested in (since, now] (ticks, as all times here).

        Rows with TimeGenerated <= `too_late` are too late; later ones up to `examined` are late.
        """
        ...

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield all rows of the window that had arrived at `now` (ticks), in one or more parts.

        All rows of one identity (D3) are in one part. Every part repeats the allowlist, the
        tables' states and the times of their newest rows.
        """
        ...
