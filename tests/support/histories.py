"""Histories of runs over a stream of rows that arrive when they like, for property tests.

A `Stream` holds rows with the moment of their arrival. `Simulation` runs the job on it, over and
over, with a state that survives and a sink that keeps what it was given; a `Fuse` can kill a run
at any boundary, and `reach` is where others may disturb it (fault_injection.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import orjson

from detection.errors import DeliveryError, SourceError, StateConflict
from detection.outbox import Outbox
from detection.pipeline.invocation import OUTBOX_LIMIT, Invocation, Outcome
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    SourceState,
)
from detection.rule.ticks import format_time
from detection.sources import Arrivals, Correlated
from detection.state import State, Tag
from detection.state.codec import decode, encode
from detection.window import Window
from tests.support import OPERATIONS, SIGN_INS, NoContext


class Event(NamedTuple):
    """A sign-in (with a resource) or an operation (with a resource group), times in ticks.

    It is ingested at `arrival`, and queries see it `unseen_for` later.
    """

    time: int
    arrival: int
    identity: str
    where: str
    event_id: str
    unseen_for: int = 0

    def seen_at(self, now: int) -> bool:
        """Whether a query at `now` returns it."""
        return self.arrival + self.unseen_for <= now


@dataclass(frozen=True)
class Stream:
    """All events that there will ever be."""

    sign_ins: Sequence[Event]
    operations: Sequence[Event]

    def events(self) -> Sequence[Event]:
        """Return sign-ins and operations."""
        return [*self.sign_ins, *self.operations]

    def on_time(self) -> "Stream":
        """Return the same events, each arriving the moment it happens, and seen at once."""
        return Stream(
            [event._replace(arrival=event.time, unseen_for=0) for event in self.sign_ins],
            [event._replace(arrival=event.time, unseen_for=0) for event in self.operations],
        )


class Killed(BaseException):
    """The process is gone; nothing may catch it."""


@dataclass
class Fuse:
    """Lets something happen after `left` boundaries, once: the run dies, unless told otherwise."""

    left: int | None = None
    happens: Callable[[], object] | None = None
    crossed: int = 0

    def cross(self) -> None:
        """Count one boundary."""
        self.crossed += 1
        if self.left is None or self.crossed <= self.left:
            return
        if self.happens is None:
            raise Killed
        self.left = None
        self.happens()


@dataclass
class Simulation:
    """One workspace through time."""

    stream: Stream
    settings: RuleSettings = field(default_factory=RuleSettings)
    remembers: bool = True
    real: int | None = None  # what time it is, where the machine's clock is wrong
    tells_time: bool = True  # whether the workspace says so
    body: bytes = b""
    version: int = 0
    delivered: list[bytes] = field(default_factory=list)
    reported: set[tuple[object, bytes]] = field(default_factory=set)
    windows: list[Window] = field(default_factory=list)
    logs: list[Logs] = field(default_factory=list)
    fuse: Fuse = field(default_factory=Fuse)
    unreadable: bool = False
    missing: set[str] = field(default_factory=set)  # tables
    refusing: bool = False
    refused: str = ""  # "findings" or "runs": the stream that is not taken
    hurried: bool = False  # there is time for one window a run
    outbox_limit: int = OUTBOX_LIMIT
    correlate: Callable[[Logs, Window], Logs | Correlated] = lambda logs, _: logs

    def run(self, now: int, backfill: tuple[int, int] | None = None) -> Outcome:
        """Run the job once, as a process of its own would."""
        asked = Invocation(
            "workspace",
            now,
            self.settings,
            backfill=backfill,
            outbox_limit=self.outbox_limit,
        )
        return run(self, self, self, asked, has_time=lambda: not self.hurried)

    def run_or_die(
        self, now: int, boundary: int | None, backfill: tuple[int, int] | None = None
    ) -> bool:
        """Run once and die at a boundary; True if it lived to the end."""
        self.fuse = Fuse(boundary)
        try:
            self.run(now, backfill)
        except Killed:
            return False
        finally:
            self.fuse = Fuse()
        return True

    def run_overlapped(self, now: int, boundary: int) -> None:
        """Run while another run of the same moment happens from start to end at a boundary."""
        with self.disturbed(boundary, lambda: self.run(now)):
            self.run(now)

    @contextmanager
    def disturbed(self, boundary: int, other: Callable[[], object]) -> Iterator[None]:
        """Let another run happen from start to end when one comes to a boundary."""

        def happen() -> None:
            mine, self.fuse = self.fuse, Fuse()
            other()
            self.fuse = mine

        self.fuse = Fuse(boundary, happen)
        try:
            yield
        finally:
            self.fuse = Fuse()

    def findings(self) -> list[dict[str, object]]:
        """Return the delivered findings without repeats, in the order of first delivery."""
        rows = [orjson.loads(row) for row in dict.fromkeys(self.delivered)]
        return [row for row in rows if "FindingId" in row]

    def latest(self) -> dict[object, dict[str, object]]:
        """Return each finding's latest revision."""
        found: dict[object, dict[str, object]] = {}
        for row in self.findings():
            known = found.get(row["FindingId"])
            if known is None or int(str(row["Revision"])) > int(str(known["Revision"])):
                found[row["FindingId"]] = row
        return found

    def reach(self, place: str) -> None:
        """Come to a boundary: before a read, before or after anything else."""
        del place
        self.fuse.cross()

    # The job's source.

    context = NoContext()

    def clock(self) -> int | None:
        """Tell what time it is, where the machine's clock is wrong."""
        self.reach("clock")
        self._check_readable()
        return self.real if self.tells_time else None

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Answer from the stream, row by row."""
        self.reach("arrivals")
        self._check_readable()
        found = Arrivals()
        for events in self._tables().values():
            times = [e.time for e in events if since < e.arrival <= now and self._is_there(e, now)]
            reachable = [time for time in times if time > too_late]
            late = [time for time in reachable if time <= examined]
            found = found.joined(
                Arrivals(min(reachable, default=None), len(late), len(times) - len(reachable))
            )
        return found._replace(missing=frozenset(self.missing))

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield what has arrived of a window."""
        del settings
        self.reach("read")
        self._check_readable()
        there = {
            table: [e for e in events if self._is_there(e, now) and _in(window, e)]
            for table, events in self._tables().items()
        }
        logs = as_logs(there.get(SIGN_INS, []), there.get(OPERATIONS, []))
        missing = dict.fromkeys(self.missing, SourceState.MISSING)
        logs = replace(logs, states={**logs.states, **missing})
        self.windows.append(window)
        self.logs.append(logs)
        yield self.correlate(logs, window)

    def _tables(self) -> Mapping[str, Sequence[Event]]:
        tables = {SIGN_INS: self.stream.sign_ins, OPERATIONS: self.stream.operations}
        return {table: events for table, events in tables.items() if table not in self.missing}

    def _is_there(self, event: Event, now: int) -> bool:
        """Whether a query that was told that it is `now` returns an event."""
        return event.arrival <= now and event.seen_at(now if self.real is None else self.real)

    def _check_readable(self) -> None:
        if self.unreadable:
            raise SourceError("the workspace does not answer")

    # The job's sink.

    def deliver(self, outbox: Outbox) -> None:
        """Keep each row; a kill in the middle leaves some delivered."""
        if self.refusing:
            raise DeliveryError("the endpoint is out of order")
        taken = {"findings": 0, "runs": 0}
        for stream, rows in (("findings", outbox.findings), ("runs", outbox.runs)):
            for row in rows if stream != self.refused else ():
                try:
                    self.reach("row")
                except DeliveryError as error:
                    error.taken = (taken["findings"], taken["runs"])
                    raise
                self.delivered.append(orjson.dumps(row))
                taken[stream] += 1
        self.reach("delivered")
        if self.refused:
            raise DeliveryError("a stream is refused", 400, (taken["findings"], taken["runs"]))

    # The job's store.

    def load(self) -> tuple[State, Tag]:
        """Return the state last saved."""
        self.reach("load")
        state = decode(self.body, "the simulated state") if self.body else State()
        return state, str(self.version)

    def save(self, state: State, tag: Tag) -> Tag:
        """Save unless another run did."""
        self.reach("save")
        if tag != str(self.version):
            raise StateConflict("another run saved first")
        mine = self.store(state)
        self.reach("saved")
        return mine

    def store(self, state: State) -> Tag:
        """Let a state be the one that rests."""
        self.body, self.version = encode(state), self.version + 1
        for key, findings in state.ledger.groups.items():
            for finding in findings:
                self.reported.update((key, operation) for operation in finding.operations())
        return str(self.version)


def as_logs(sign_ins: Sequence[Event], operations: Sequence[Event]) -> Logs:
    """Return events as the rows that match the rule."""
    return Logs(
        [
            (
                e.time,
                e.identity,
                "0",
                e.where,
                f"name of {e.identity.lower()}",
                "",
                e.event_id,
                "",
                "",
            )
            for e in sign_ins
        ],
        [
            (
                *(e.time, e.identity, "Microsoft.KeyVault/vaults/delete", "Success", e.where),
                *("", "", f"/of/{e.event_id}", "", e.event_id, ""),
            )
            for e in operations
        ],
        [],
        {
            SIGN_IN_TABLE.name: SourceState.OK,
            OPERATION_TABLE.name: SourceState.OK,
            ALLOWLIST_TABLE.name: SourceState.EMPTY,
        },
    )


def assert_consistent(delivered: Iterable[bytes]) -> None:
    """Check that a repeated row is the same row, and that revisions count from 1 without a gap."""
    by_id: dict[object, set[bytes]] = {}
    revisions: dict[object, set[object]] = {}
    for row in delivered:
        document = orjson.loads(row)
        if "FindingId" in document:
            by_id.setdefault((document["FindingId"], document["Revision"]), set()).add(row)
            revisions.setdefault(document["FindingId"], set()).add(document["Revision"])
        else:
            by_id.setdefault(document["RunId"], set()).add(row)
    assert all(len(rows) == 1 for rows in by_id.values())
    assert all(seen == set(range(1, len(seen) + 1)) for seen in revisions.values())


def describe(stream: Stream) -> str:
    """Write a stream down for a failing example."""
    lines = [
        f"{kind} {format_time(e.time)} arrives {format_time(e.arrival)} {e.identity} "
        f"{e.where} {e.event_id}"
        for kind, events in (
            ("sign-in", stream.sign_ins),
            ("operation", stream.operations),
        )
        for e in events
    ]
    return "\n".join(lines)


def _in(window: Window, event: Event) -> bool:
    return window.start < event.time <= window.end
