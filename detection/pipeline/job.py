"""One invocation for one workspace: examine each due window, write the state, deliver.

This order makes delivery exact. The rows of a window go into the outbox in the same conditional
write as the watermark and the ledger that count them; then they are delivered; then the outbox is
emptied. A run that dies before that write examines the window again. One that dies after it
delivers the same rows again. If another run has written the state in the meantime, this run adds
its result to the new state, if the result is still right. If it is not, this run examines the
window again, or skips it because the other run has examined it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from detection.errors import ClockError, DeliveryError, DetectionError, SourceError, StateConflict
from detection.outbox import PendingRows
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.run_record import (
    RunHeader,
    failure_record,
    gap_record,
    retry_advice,
    run_record,
)
from detection.pipeline.schedule import Schedule, set_back
from detection.pipeline.window_run import examine_window
from detection.pipeline.workspace_state import Change, OvertakenByAnotherRun, WorkspaceState
from detection.rule.ledger import Review
from detection.schema import RULE_NAME, Finding, RunRecord
from detection.sinks import FindingSink
from detection.sources import Arrivals, LogSource
from detection.state import State, StateStore
from detection.window import Mode, Window, backfill_windows

if TYPE_CHECKING:
    from detection.ranking.baseline import Baseline

MAX_EXAMINATIONS = 5  # of one window: a faster run of the same workspace makes another necessary

Progress = Callable[[Sequence[Window]], Iterable[Window]]


def run(
    source: LogSource,
    sink: FindingSink,
    store: StateStore,
    invocation: Invocation,
    *,
    progress: Progress = iter,
    has_time: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Examine every due window in order; a window that cannot be read ends the invocation.

    Once `has_time` returns False no further window is begun, and the rest stays due.

    Raises StateError if the state cannot be used, if other runs keep writing it, or if its
    watermark cannot be set back. Failures of reading and delivering are in the outcome, and the
    next run tries again.
    """
    state = WorkspaceState(store)
    if invocation.watermark is not None:
        span = invocation.settings.span
        state.update(partial(set_back, watermark=invocation.watermark, span=span))
    job = _Job(source, sink, state, invocation)
    job.deliver()
    windows = job.due_windows()
    job.outcome.due = len(windows)
    for examined, window in enumerate(progress(windows)):
        # The first window is always examined, even if little time is left.
        if examined and not has_time():
            job.outcome.left = len(windows) - examined
            break
        if not job.has_room() or not job.process_window(window):
            break
        job.deliver()
    return job.outcome


class _Job:
    """The steps of an invocation, each of which writes the state."""

    def __init__(
        self, source: LogSource, sink: FindingSink, state: WorkspaceState, invocation: Invocation
    ) -> None:
        self._source = source
        self._sink = sink
        self._workspace = state
        self._invocation = invocation
        self._schedule = Schedule(invocation.settings, invocation.now, by_clock=invocation.by_clock)
        self._expected_watermark: int | None = None  # the end of the window before the next one
        self._baseline: Baseline | None = None  # of the day of the window before
        self._previous: Window | None = None  # that this invocation has examined
        self.outcome = Outcome()

    def due_windows(self) -> list[Window]:
        """Return the windows to examine; hours that are too long ago are recorded as a gap."""
        invocation, state = self._invocation, self._workspace.state
        if invocation.backfill is not None:
            return backfill_windows(*invocation.backfill, invocation.settings)
        if not self.has_room():
            return []
        plan = self._schedule.plan(state, invocation.ends)
        try:
            self._schedule.check(state, self._source if self._workspace.is_remembered else None)
        except (ClockError, SourceError) as error:
            first = next(iter(plan.windows), self._schedule.latest)
            self._record_failure(first, error)
            return []
        if plan.gap is not None:
            self._record_gap(*plan.gap)
        self._expected_watermark = self._workspace.state.watermark
        return plan.windows

    def deliver(self) -> None:
        """Deliver the rows of the outbox; those that the sink did not take stay in it."""
        outbox = self._workspace.state.outbox
        if not len(outbox):
            return
        delivered = outbox.end
        try:
            self._sink.deliver(outbox)
        except DeliveryError as error:
            delivered = outbox.begin.advanced(*error.taken)
            left = len(outbox.after(delivered))
            self._fail(f"{error}; {self._workspace.next_delivery(left)}")
        if delivered != outbox.begin:
            self._workspace.mark_delivered(delivered)

    def has_room(self) -> bool:
        """Return False, with a failure, if the outbox is full: then the watermark stays."""
        limit = self._invocation.outbox_limit
        if len(self._workspace.state.outbox) < limit:
            return True
        self._fail(
            f"{limit} or more rows wait in the outbox: no window is examined until they can be "
            "delivered"
        )
        return False

    def process_window(self, window: Window) -> bool:
        """Examine a window and write the result; False ends the invocation."""
        for attempt in range(MAX_EXAMINATIONS):
            watermark = self._workspace.state.watermark
            if self._schedule.is_past(window, self._workspace.state):
                return True  # another run has examined it in the meantime
            if self._expected_watermark and (watermark or 0) < self._expected_watermark:
                self._fail("another run set the watermark back: the next run goes on from there")
                return False
            began = time.monotonic()
            try:
                self._examine(window, attempt, began)
            except SourceError as error:
                self._record_failure(window, error, _milliseconds_since(began))
                return False
            except OvertakenByAnotherRun:
                continue
            return True
        raise StateConflict(
            "other runs kept writing the state during this one, which has stopped and delivers no "
            f"more: {retry_advice(window)}"
        )

    def _examine(self, window: Window, attempt: int, began: float) -> None:
        invocation, state = self._invocation, self._workspace.state
        arrivals = Arrivals()
        if self._previous is None:
            window, arrivals = self._schedule.reach_back(window, state, self._source)
        is_repeated = attempt or invocation.watermark
        header = self._header(window, f"|{attempt}|{invocation.watermark}" if is_repeated else "")
        review = self._review(window, state)
        enrichment = Enrichment(
            self._source.context,
            invocation.settings,
            invocation.now,
            self._baseline or state.baseline,
            warnings=[*self._schedule.warnings],
        )
        counters, findings = examine_window(self._source, window, header, review, enrichment)
        self._baseline = enrichment.baseline
        if counters.operations_matched:
            seen = self._schedule.seen(window, state, self._previous)
            enrichment.count_near_misses(window, seen, counters.allowlist)
        record = run_record(header, counters, enrichment, arrivals, _milliseconds_since(began))
        schedule_position = state.schedule_position

        def commit(state: State) -> None:
            scheduled = window.mode is not Mode.BACKFILL
            if not review.is_valid_for(state.ledger, state.known_from) or (
                scheduled and state.schedule_position != schedule_position
            ):
                raise OvertakenByAnotherRun
            review.commit(state.ledger)
            if scheduled:
                state.baseline = enrichment.baseline
                self._schedule.advance(state, window, counters.states)

        self._save(record, findings, commit)
        self._previous = window
        if window.mode is not Mode.BACKFILL:
            self._expected_watermark = window.end

    def _review(self, window: Window, state: State) -> Review:
        """Return the ledger's review of a window."""
        scope = f"{RULE_NAME}\n{self._invocation.workspace_id}"
        now, known_from = self._invocation.now, state.known_from
        return Review(state.ledger, scope, window.start, window.end, now, known_from)

    def _record_gap(self, start: int, end: int) -> None:
        """Record hours that can no longer be examined, and go on from their end."""
        schedule_position = self._workspace.state.schedule_position

        def skip(state: State) -> None:
            if (
                state.schedule_position == schedule_position
            ):  # else another run has recorded the gap
                self._schedule.skip(state, end)

        record = gap_record(self._header(Window(start, end, Mode.CATCH_UP)))
        self._save(record, PendingRows(), skip)
        self._fail(record["Error"])
        self.outcome.gaps += 1
        self.deliver()

    def _record_failure(self, window: Window, error: DetectionError, duration_ms: int = 0) -> None:
        """Record a failure and leave the window due."""
        present = error.present if isinstance(error, ClockError) else None

        def keep_due(state: State) -> None:
            self._schedule.keep_first_due(state, window, present)

        record = failure_record(self._header(window), window, str(error), duration_ms)
        self._save(record, PendingRows(), keep_due)
        self._fail(str(error))
        self.deliver()

    def _save(self, record: RunRecord, findings: PendingRows[Finding], change: Change) -> None:
        """Write a change of the state, with these rows in the outbox."""

        def add(state: State) -> None:
            change(state)
            state.outbox = state.outbox.with_rows(findings, record)

        self._workspace.update(add)
        self.outcome.records.append(record)
        if findings:
            self.outcome.found.append(findings)

    def _fail(self, message: str) -> None:
        if message not in self.outcome.failures:
            self.outcome.failures.append(message)

    def _header(self, window: Window, again: str = "") -> RunHeader:
        each = self._invocation
        return RunHeader.of(each.workspace_id, window, each.now, again, each.deployment)


def _milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
