"""One invocation for one workspace: its parameters and its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.rule.filters import RuleSettings
from detection.schema import LOCAL, Finding, RunRecord

OUTBOX_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Invocation:
    """The parameters of an invocation; times in ticks.

    It examines the windows due at `now`, or those of `backfill` (from, to), or those that end at
    `ends` and after the watermark: the hours of a recording. `outbox_limit`: the number of waiting
    rows at which detection stops until they are delivered. `watermark`: an earlier time to which
    the watermark is set back first, after a wrong clock. `by_clock`: `now` was read from this
    machine's clock. `deployment`: the name in the column Deployment.
    """

    workspace_id: str
    now: int
    settings: RuleSettings = field(default_factory=RuleSettings)
    backfill: tuple[int, int] | None = None
    ends: tuple[int, ...] | None = None
    outbox_limit: int = OUTBOX_LIMIT
    watermark: int | None = None
    by_clock: bool = False
    deployment: str = LOCAL


@dataclass(slots=True)
class Outcome:
    """The outcome of an invocation: its run records, findings and failures.

    `due` counts the due windows, `left` those among them for which there was no time, `gaps` the
    failures after which the run goes on, because hours were recorded as a gap.
    """

    records: list[RunRecord] = field(default_factory=list)
    found: list[Sequence[Finding]] = field(default_factory=list)  # one sequence a window
    failures: list[str] = field(default_factory=list)
    due: int = 0
    left: int = 0
    gaps: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All findings of all windows."""
        return [finding for window in self.found for finding in window]
