"""One invocation for one workspace: due windows, read, detect, what is new, remember, deliver.

The order makes delivery exact. A window's rows are written into the outbox together with the
watermark and the ledger that count them, in one conditional write; then they are delivered; then
the outbox is emptied. A run that dies before that write examines the window again, one that dies
after it delivers the same rows again, and of two overlapping runs one loses the write and
delivers nothing.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from detection import records
from detection.analysis import Analysis
from detection.errors import DeliveryError, SourceError
from detection.examination import examine
from detection.packed import Rows
from detection.records import Header
from detection.rule.ledger import Outbox, Review
from detection.rule.select import RuleSettings
from detection.schema import RULE_NAME, Finding, RunRecord
from detection.sinks import FindingSink
from detection.sources import Arrivals, LogSource
from detection.state import StateStore
from detection.window import (
    INTERVAL,
    VISIBILITY_MARGIN,
    Mode,
    Timing,
    Window,
    backfill_windows,
    due_windows,
    reach_back,
)

OUTBOX_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is asked for: the windows due at `now` (ticks), or those of `backfill` (from, to).

    `outbox_limit` is how many rows may wait before detection stops until they are delivered.
    """

    workspace_id: str
    now: int
    timing: Timing = field(default_factory=Timing)
    rule: RuleSettings = field(default_factory=RuleSettings)
    backfill: tuple[int, int] | None = None
    outbox_limit: int = OUTBOX_LIMIT


@dataclass(slots=True)
class Outcome:
    """What came of an invocation: its run records, its findings, and what failed."""

    records: list[RunRecord] = field(default_factory=list)
    found: list[Sequence[Finding]] = field(default_factory=list)  # in each window
    failures: list[str] = field(default_factory=list)
    due: int = 0
    left: int = 0  # of the windows due, those for which there was no time

    @property
    def findings(self) -> list[Finding]:
        """All findings of all windows."""
        return [finding for window in self.found for finding in window]


Progress = Callable[[Sequence[Window]], Iterable[Window]]


def run(
    source: LogSource,
    sink: FindingSink,
    store: StateStore,
    asked: Invocation,
    *,
    progress: Progress = iter,
    has_time: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Examine every window due, in order; a window that cannot be read ends the invocation.

    Once `has_time` says no, no further window is begun; what is left is due next time.

    Raises StateError if the state cannot be used or another run was first. Reading and delivering
    do not raise: what failed is in the outcome, and is tried again next time.
    """
    job = _Job(source, sink, store, asked)
    job.deliver()
    if asked.backfill is not None:
        windows = backfill_windows(*asked.backfill, asked.timing)
    else:
        plan = due_windows(job.state.watermark, asked.now, asked.timing)
        windows = plan.windows
        if plan.gap is not None:
            job.give_up(*plan.gap)
    job.outcome.due = len(windows)
    for examined, window in enumerate(progress(windows)):
        # The first alone reaches back, and is examined however little time there is.
        if examined and not has_time():
            job.outcome.left = len(windows) - examined
            break
        if not job.has_room() or not job.examine(window, reach=not examined):
            break
        job.deliver()
    return job.outcome


class _Job:
    """The state as last written, and the steps that change it."""

    def __init__(
        self, source: LogSource, sink: FindingSink, store: StateStore, asked: Invocation
    ) -> None:
        self._source = source
        self._sink = sink
        self._store = store
        self._asked = asked
        self.state, self._tag = store.load()
        self.outcome = Outcome()

    def deliver(self) -> None:
        """Deliver what the outbox holds and empty it; on failure it stays for the next time."""
        if not len(self.state.outbox):
            return
        try:
            self._sink.deliver(self.state.outbox)
        except DeliveryError as error:
            self._fail(f"{error}; {len(self.state.outbox)} rows wait in the outbox")
            return
        self.state.outbox = Outbox()
        self._save()

    def has_room(self) -> bool:
        """Whether more rows may wait; else the watermark stays where it is."""
        if len(self.state.outbox) < self._asked.outbox_limit:
            return True
        self._fail(
            f"{self._asked.outbox_limit} or more rows wait in the outbox: nothing more is "
            "examined until they can be delivered"
        )
        return False

    def give_up(self, start: int, end: int) -> None:
        """Record hours that are too long ago, and watch anew from their end.

        What arrived late in the meantime is given up with them: reaching back for it would
        examine the whole gap in one window.
        """
        header = self._header(Window(start, end, Mode.CATCH_UP))
        self.state.watermark = self.state.arrivals_until = end
        self.state.watched_from = end - self._asked.timing.span
        self._remember(records.gap_record(header))
        self.deliver()

    def examine(self, window: Window, *, reach: bool) -> bool:
        """Read a window, decide what is new and write it down; False if it could not be read."""
        began = time.monotonic()
        try:
            window, arrivals = self._reach_back(window) if reach else (window, Arrivals())
            header = self._header(window)
            review, analysis = self._prepared(window)
            tally, found = examine(self._source, window, header, review, analysis)
        except SourceError as error:
            self._owe(window)
            self._remember(records.failure_record(self._header(window), str(error), _since(began)))
            self._fail(str(error))
            self.deliver()
            return False
        review.accept()
        self._advance(window)
        self.state.history = analysis.history
        record = records.run_record(header, tally, analysis, arrivals, _since(began))
        self._remember(record, found)
        return True

    def _prepared(self, window: Window) -> tuple[Review, Analysis]:
        """Return what tells news from what was reported, and what is made of news."""
        asked, state = self._asked, self.state
        scope = f"{RULE_NAME}\n{asked.workspace_id}"
        review = Review(state.ledger, scope, window.start, window.end, asked.now)
        return review, Analysis(self._source.background, asked.rule, asked.now, state.history)

    def _owe(self, window: Window) -> None:
        """Let the very first window stay due where it could not be read.

        Else a new app whose roles take hours to work would never examine those hours.
        """
        if self.state.watermark is None and window.mode is not Mode.BACKFILL:
            self.state.watermark = window.end - INTERVAL

    def _reach_back(self, window: Window) -> tuple[Window, Arrivals]:
        """Begin the first window early enough for what has arrived since the last run."""
        since, watched_from = self.state.arrivals_until, self.state.watched_from
        if window.mode is Mode.BACKFILL or since is None or watched_from is None:
            return window, Arrivals()
        timing = self._asked.timing
        arrivals = self._source.arrivals(
            since=since,
            now=self._asked.now,
            examined=window.start + timing.span,
            too_late=timing.earliest_late(since),
        )
        return reach_back(window, arrivals.earliest, timing, watched_from), arrivals

    def _advance(self, window: Window) -> None:
        """Move the watermark past an examined window; a backfill leaves it alone."""
        if window.mode is Mode.BACKFILL:
            return
        state, timing = self.state, self._asked.timing
        state.watermark = window.end
        state.arrivals_until = self._asked.now - VISIBILITY_MARGIN
        if state.watched_from is None:
            state.watched_from = window.start
        state.ledger.forget(timing.horizon(state.watermark, state.arrivals_until))

    def _remember(self, record: RunRecord, found: Sequence[Finding] = ()) -> None:
        """Write the state down with these rows in the outbox."""
        outbox = self.state.outbox
        waiting = Rows.joined(outbox.findings, found)
        self.state.outbox = Outbox(waiting, [*outbox.runs, record])
        self._save()
        self.outcome.records.append(record)
        if found:
            self.outcome.found.append(found)

    def _save(self) -> None:
        self._tag = self._store.save(self.state, self._tag)

    def _fail(self, message: str) -> None:
        if message not in self.outcome.failures:
            self.outcome.failures.append(message)

    def _header(self, window: Window) -> Header:
        return Header.of(self._asked.workspace_id, window, self._asked.now)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
