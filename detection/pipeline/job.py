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
from functools import partial

from detection.errors import ClockError, DeliveryError, DetectionError, SourceError, StateConflict
from detection.outbox import (
    Outbox,
    PendingRows,
)
from detection.pipeline import run_record as records
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.run_record import RunHeader
from detection.pipeline.schedule import Schedule, set_back
from detection.pipeline.window_run import evaluate_window
from detection.pipeline.workspace_state import Change, OvertakenByAnotherRun, WorkspaceState
from detection.rule.ledger import Review
from detection.schema import RULE_NAME, Finding, RunRecord
from detection.sinks import FindingSink
from detection.sources import Arrivals, LogSource
from detection.state import State, StateStore
from detection.window import Mode, Window, backfill_windows

MAX_EVALUATIONS = 5  # by other runs, for one window

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

    Raises StateError if the state cannot be used, other runs keep writing it, or its watermark
    cannot be set back. Reading and delivering do not raise: what failed is in the outcome, and is
    tried again next time.
    """
    memory = WorkspaceState(store)
    if asked.watermark is not None:
        memory.update(partial(set_back, watermark=asked.watermark, span=asked.timing.span))
    job = _Job(source, sink, memory, asked)
    job.deliver()
    windows = job.due()
    job.outcome.due = len(windows)
    for examined, window in enumerate(progress(windows)):
        # The first is examined however little time there is.
        if examined and not has_time():
            job.outcome.left = len(windows) - examined
            break
        if not job.has_room() or not job.examine(window):
            break
        job.deliver()
    return job.outcome


class _Job:
    """The steps of an invocation, each of which writes the state down."""

    def __init__(
        self, source: LogSource, sink: FindingSink, memory: WorkspaceState, asked: Invocation
    ) -> None:
        self._source = source
        self._sink = sink
        self._memory = memory
        self._asked = asked
        self._schedule = Schedule(asked.timing, asked.now, by_clock=asked.by_clock)
        self._planned_from: int | None = None  # the watermark that the next window goes on from
        self._has_reached_back = False
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
        self._planned_from = self._memory.state.watermark
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

    def examine(self, window: Window) -> bool:
        """Read a window, decide what is new and write it down; False ends the invocation."""
        for attempt in range(MAX_EVALUATIONS):
            watermark = self._memory.state.watermark
            if self._schedule.is_past(window, self._memory.state):
                return True  # another run has examined it meanwhile
            if self._planned_from and (watermark or 0) < self._planned_from:
                self._fail("the watermark was set back meanwhile: the next run goes on from there")
                return False
            began = time.monotonic()
            try:
                self._examine(window, attempt, began)
            except SourceError as error:
                self._could_not_examine(window, error, _since(began))
                return False
            except OvertakenByAnotherRun:
                continue
            return True
        raise StateConflict(
            "other runs kept writing the state while this one worked, so it gave up and delivered "
            f"nothing more: {records.retry_advice(window)}"
        )

    def _examine(self, window: Window, attempt: int, began: float) -> None:
        asked, based_on = self._asked, self._memory.state
        arrivals = Arrivals()
        if not self._has_reached_back:
            window, arrivals = self._schedule.reach_back(window, based_on, self._source)
        again = f"|{attempt}|{asked.watermark}" if attempt or asked.watermark else ""
        header = RunHeader.of(asked.workspace_id, window, asked.now, again)
        scope = f"{RULE_NAME}\n{asked.workspace_id}"
        known_from = based_on.known_from
        review = Review(based_on.ledger, scope, window.start, window.end, asked.now, known_from)
        enrichment = Enrichment(
            self._source.context,
            asked.rule,
            asked.now,
            based_on.baseline,
            warnings=[*self._schedule.warnings],
        )
        counters, found = evaluate_window(self._source, window, header, review, enrichment)
        record = records.run_record(header, counters, enrichment, arrivals, _since(began))
        moments = based_on.schedule_position

        def accept(state: State) -> None:
            scheduled = window.mode is not Mode.BACKFILL
            if not review.is_valid_for(state.ledger, state.known_from) or (
                scheduled and state.schedule_position != moments
            ):
                raise OvertakenByAnotherRun
            review.commit(state.ledger)
            if scheduled:
                state.baseline = enrichment.baseline
                self._schedule.advance(state, window, counters.states)

        self._remember(record, found, accept)
        self._has_reached_back = True
        if window.mode is not Mode.BACKFILL:
            self._planned_from = window.end

    def _give_up(self, start: int, end: int) -> None:
        """Record hours that can no longer be examined, and watch from their end on."""
        moments = self._memory.state.schedule_position

        def skip(state: State) -> None:
            if state.schedule_position == moments:  # else another run has recorded the gap
                self._schedule.skip(state, end)

        record = records.gap_record(self._header(Window(start, end, Mode.CATCH_UP)))
        self._remember(record, (), skip)
        self._fail(record["Error"])
        self.outcome.gaps += 1
        self.deliver()

    def _could_not_examine(
        self, window: Window, error: DetectionError, duration_ms: int = 0
    ) -> None:
        """Record a failure and leave the window due."""
        present = error.present if isinstance(error, ClockError) else None

        def keep_due(state: State) -> None:
            self._schedule.owe(state, window, present)

        record = records.failure_record(self._header(window), window, str(error), duration_ms)
        self._remember(record, (), keep_due)
        self._fail(str(error))
        self.deliver()

    def _remember(self, record: RunRecord, found: Sequence[Finding], change: Change) -> None:
        """Write a change of the state down, with these rows in the outbox."""

        def add(state: State) -> None:
            change(state)
            outbox = state.outbox
            waiting = PendingRows.joined(outbox.findings, found)
            state.outbox = Outbox(waiting, [*outbox.runs, record], outbox.begin)

        self._memory.update(add)
        self.outcome.records.append(record)
        if found:
            self.outcome.found.append(found)

    def _fail(self, message: str) -> None:
        if message not in self.outcome.failures:
            self.outcome.failures.append(message)

    def _header(self, window: Window) -> RunHeader:
        return RunHeader.of(self._asked.workspace_id, window, self._asked.now)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
