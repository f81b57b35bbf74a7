"""One invocation for one workspace: due windows, read, detect, what is new, remember, deliver.

The order makes delivery exact. A window's rows are written into the outbox together with the
watermark and the ledger that count them, in one conditional write; then they are delivered; then
the outbox is emptied. A run that dies before that write examines the window again, and one that
dies after it delivers the same rows again. Where another run wrote in between, what was decided
is written over that run's state if it still stands there; else the window is examined again, or
left alone because the other run has examined it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from detection import records
from detection.analysis import Analysis
from detection.errors import ClockError, DeliveryError, DetectionError, SourceError, StateConflict
from detection.examination import examine
from detection.memory import Change, Memory, Overtaken
from detection.outbox import Outbox
from detection.packed import Rows
from detection.records import Header
from detection.rule.ledger import Review
from detection.rule.select import RuleSettings
from detection.schedule import Schedule, set_back
from detection.schema import RULE_NAME, Finding, RunRecord
from detection.sinks import FindingSink
from detection.sources import Arrivals, LogSource
from detection.state import State, StateStore
from detection.window import Mode, Timing, Window, backfill_windows

OUTBOX_LIMIT = 100_000
TIMES_OVERTAKEN = 5  # by other runs, for one window


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is asked for: the windows due at `now` (ticks), or those of `backfill` (from, to).

    `outbox_limit` is how many rows may wait before detection stops until they are delivered.
    `watermark` sets the state's back first, where a wrong clock has set it too far.
    """

    workspace_id: str
    now: int
    timing: Timing = field(default_factory=Timing)
    rule: RuleSettings = field(default_factory=RuleSettings)
    backfill: tuple[int, int] | None = None
    outbox_limit: int = OUTBOX_LIMIT
    watermark: int | None = None


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

    Raises StateError if the state cannot be used or other runs keep writing it, UsageError for a
    watermark that it cannot be set back to. Reading and delivering do not raise: what failed is in
    the outcome, and is tried again next time.
    """
    memory = Memory(store)
    if asked.watermark is not None:
        memory.write(partial(set_back, watermark=asked.watermark))
    job = _Job(source, sink, memory, asked)
    job.deliver()
    windows = job.due()
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
    """The steps of an invocation, each of which writes the state down."""

    def __init__(
        self, source: LogSource, sink: FindingSink, memory: Memory, asked: Invocation
    ) -> None:
        self._source = source
        self._sink = sink
        self._memory = memory
        self._asked = asked
        self._schedule = Schedule(asked.timing, asked.now)
        self.outcome = Outcome()

    def due(self) -> list[Window]:
        """Return the windows to examine; what can no longer be examined is recorded as a gap."""
        asked, state = self._asked, self._memory.state
        if asked.backfill is not None:
            return backfill_windows(*asked.backfill, asked.timing)
        if not self.has_room():
            return []
        plan = self._schedule.plan(state)
        try:
            self._schedule.check(state, self._source if self._memory.remembers else None)
        except (ClockError, SourceError) as error:
            first = next(iter(plan.windows), self._schedule.latest)
            self._could_not_examine(first, error)
            return []
        if plan.gap is not None:
            self._give_up(*plan.gap)
        return plan.windows

    def deliver(self) -> None:
        """Deliver what the outbox holds; what was not taken stays for the next time."""
        outbox = self._memory.state.outbox
        if not len(outbox):
            return
        delivered = outbox.end
        try:
            self._sink.deliver(outbox)
        except DeliveryError as error:
            delivered = outbox.begin.on(*error.taken)
            self._fail(f"{error}; {self._memory.promise(len(outbox.since(delivered)))}")
        if delivered != outbox.begin:
            self._memory.delivered(delivered)

    def has_room(self) -> bool:
        """Whether more rows may wait; else the watermark stays where it is."""
        if len(self._memory.state.outbox) < self._asked.outbox_limit:
            return True
        self._fail(
            f"{self._asked.outbox_limit} or more rows wait in the outbox: nothing more is "
            "examined until they can be delivered"
        )
        return False

    def examine(self, window: Window, *, reach: bool) -> bool:
        """Read a window, decide what is new and write it down; False if it could not be read."""
        for attempt in range(TIMES_OVERTAKEN):
            if self._schedule.is_past(window, self._memory.state):
                return True  # another run has examined it meanwhile
            began = time.monotonic()
            try:
                self._examine(window, attempt, began, reach=reach)
            except SourceError as error:
                self._could_not_examine(window, error, _since(began))
                return False
            except Overtaken:
                continue
            return True
        raise StateConflict(
            "other runs kept writing the state while this one worked, so it gave up; it delivered "
            "nothing more, and the next run examines the window again"
        )

    def _examine(self, window: Window, attempt: int, began: float, *, reach: bool) -> None:
        asked, based_on = self._asked, self._memory.state
        arrivals = Arrivals()
        if reach:
            window, arrivals = self._schedule.reach_back(window, based_on, self._source)
        header = Header.of(asked.workspace_id, window, asked.now, attempt)
        scope = f"{RULE_NAME}\n{asked.workspace_id}"
        review = Review(based_on.ledger, scope, window.start, window.end, asked.now)
        analysis = Analysis(self._source.background, asked.rule, asked.now, based_on.history)
        tally, found = examine(self._source, window, header, review, analysis)
        record = records.run_record(header, tally, analysis, arrivals, _since(began))
        moments = based_on.moments

        def accept(state: State) -> None:
            scheduled = window.mode is not Mode.BACKFILL
            if not review.stands(state.ledger) or (scheduled and state.moments != moments):
                raise Overtaken
            review.accept(state.ledger)
            if scheduled:
                state.history = analysis.history
                self._schedule.advance(state, window, tally.states)

        self._remember(record, found, accept)

    def _give_up(self, start: int, end: int) -> None:
        """Record hours that can no longer be examined, and watch from their end on."""
        moments = self._memory.state.moments

        def skip(state: State) -> None:
            if state.moments == moments:  # else another run has recorded the gap
                self._schedule.skip(state, end)

        header = self._header(Window(start, end, Mode.CATCH_UP))
        self._remember(records.gap_record(header), (), skip)
        self.deliver()

    def _could_not_examine(
        self, window: Window, error: DetectionError, duration_ms: int = 0
    ) -> None:
        """Record a failure and leave the window due, except for the hours of a wrong clock."""

        def keep_due(state: State) -> None:
            if not isinstance(error, ClockError):
                self._schedule.owe(state, window)

        record = records.failure_record(self._header(window), str(error), duration_ms)
        self._remember(record, (), keep_due)
        self._fail(str(error))
        self.deliver()

    def _remember(self, record: RunRecord, found: Sequence[Finding], change: Change) -> None:
        """Write a change of the state down, with these rows in the outbox."""

        def add(state: State) -> None:
            change(state)
            outbox = state.outbox
            waiting = Rows.joined(outbox.findings, found)
            state.outbox = Outbox(waiting, [*outbox.runs, record], outbox.begin)

        self._memory.write(add)
        self.outcome.records.append(record)
        if found:
            self.outcome.found.append(found)

    def _fail(self, message: str) -> None:
        if message not in self.outcome.failures:
            self.outcome.failures.append(message)

    def _header(self, window: Window) -> Header:
        return Header.of(self._asked.workspace_id, window, self._asked.now)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
