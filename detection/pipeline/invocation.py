"""An invocation of one workspace: what is asked for, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.rule.filters import RuleSettings
from detection.schema import Finding, RunRecord
from detection.window import Timing

OUTBOX_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is asked for: the windows due at `now` (ticks), or those of `backfill` (from, to).

    `outbox_limit` is how many rows may wait before detection stops until they are delivered.
    `watermark` sets the state's back first, where a wrong clock has set it too far. `by_clock`
    says that `now` is what this machine's clock shows.
    """

    workspace_id: str
    now: int
    timing: Timing = field(default_factory=Timing)
    rule: RuleSettings = field(default_factory=RuleSettings)
    backfill: tuple[int, int] | None = None
    outbox_limit: int = OUTBOX_LIMIT
    watermark: int | None = None
    by_clock: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of an invocation: its run records, its findings, and what failed."""

    records: list[RunRecord] = field(default_factory=list)
    found: list[Sequence[Finding]] = field(default_factory=list)  # in each window
    failures: list[str] = field(default_factory=list)
    due: int = 0
    left: int = 0  # of the windows due, those for which there was no time
    gaps: int = 0  # of the failures, those that are hours given up, after which the run goes on

    @property
    def findings(self) -> list[Finding]:
        """All findings of all windows."""
        return [finding for window in self.found for finding in window]
