"""Random faults of a run, and a simulation into which they are injected.

A `Fault` occurs at a boundary of a run (`Simulation.reach`). `occurred` counts the faults that
really occurred, so that a test can assert that every kind did.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from detection.errors import DeliveryError, DetectionError, SourceError, StateConflict, StateError
from detection.pipeline.invocation import Outcome
from detection.rule.ticks import HOUR, MINUTE
from detection.state import State, Tag
from tests.support.random_streams import BEGIN
from tests.support.simulation import Killed, Simulation

# The source's queries, and the boundary before each.
QUERIES = {
    "clock": "clock",
    "arrivals of sign-ins": "arrivals",
    "arrivals of operations": "arrivals",
    "sign-ins": "read",
    "operations": "read",
    "allowlist": "read",
    "latest sign-in": "read",
    "latest operation": "read",
}
WAYS = (
    *("access is denied", "throttled the query", "took too long", "Log Analytics failed"),
    *("the answer is empty", "the answer is a web page", "the answer ends early"),
    *("could not be read completely", "cannot be reached", "no token was obtained"),
)
PLACES = ("load", "clock", "arrivals", "read", "save", "saved", "row", "delivered")
OUTAGES: Mapping[str, tuple[tuple[str, ...], type[DetectionError]]] = {
    "source": (("clock", "arrivals", "read"), SourceError),
    "sink": (("row",), DeliveryError),
    "state": (("load", "save"), StateError),
}


class Fault(NamedTuple):
    """A fault at the `turn`th time that a run reaches a place."""

    kind: str
    place: str
    happens: Callable[["FaultySimulation"], None]
    turn: int = 1


@dataclass
class FaultySimulation(Simulation):
    """A workspace over time whose runs meet faults."""

    occurred: Counter[str] = field(default_factory=Counter)
    outages: set[str] = field(default_factory=set)  # keys of OUTAGES
    _now: int = 0
    _fault: Fault | None = None
    _left: int = 0
    _erred: bool = False
    _saving: tuple[State, Tag] = field(default_factory=lambda: (State(), ""))
    _late: tuple[State, Tag, int] | None = None

    def run_with_fault(
        self,
        now: int,
        fault: Fault | None = None,
        *,
        clock_ahead: int = 0,
        backfill: tuple[int, int] | None = None,
    ) -> Outcome | None:
        """Run once with a fault; return None if the run died, else its outcome.

        `clock_ahead` is how far the machine's clock is ahead, in ticks. A run that meets an error
        must report it.
        """
        self._now, self._fault, self._erred = now + clock_ahead, fault, False
        self._left = fault.turn if fault else 0
        self.true_time = now if clock_ahead else None
        try:
            outcome = self.run(now + clock_ahead, backfill)
        except (Killed, StateError):
            return None
        finally:
            self._fault = self.true_time = None
        if self.refused and outcome.failures:
            self.occurred[f"{self.refused} refused"] += 1
        if clock_ahead:
            reported = "clock" in "".join(outcome.failures)
            side = "ahead" if clock_ahead > 0 else "behind"
            self.occurred[f"clock {side}{' reported' * reported}"] += 1
        assert outcome.failures or not self._erred, f"silent about {fault}, outages: {self.outages}"
        self.occurred["out of time"] += self.short_of_time and len(outcome.records) < outcome.due
        full = any("no window is examined until" in failure for failure in outcome.failures)
        self.occurred["outbox full"] += full
        return outcome

    def reach(self, place: str) -> None:
        """Cross a boundary, where a planned fault occurs."""
        super().reach(place)
        self._apply_late_write()
        for side in sorted(self.outages):
            places, error = OUTAGES[side]
            if place in places:
                self.occurred[f"outage of the {side}"] += 1
                self.fail(error(f"the {side} is out of order"))
        if self._fault is not None and place == self._fault.place:
            self._left -= 1
            if not self._left:
                fault, self._fault = self._fault, None
                self.occurred[fault.kind] += 1
                fault.happens(self)

    def fail(self, error: DetectionError) -> None:
        """Raise an error that the run has to report."""
        self._erred = True
        raise error

    def save(self, state: State, tag: Tag) -> Tag:
        """Save, and remember the arguments."""
        self._saving = state, tag
        return super().save(state, tag)

    def save_later(self, boundaries: int) -> None:
        """Let the write arrive after its run has stopped waiting for an answer."""
        self._late = *self._saving, boundaries

    def give_up_late_write(self) -> None:
        """Drop a write that has not arrived yet."""
        self._late = None

    def overlap(
        self, now: int, boundary: int | None, backfill: tuple[int, int] | None = None
    ) -> None:
        """Insert a whole run, or one that dies at a boundary, into the current run."""
        mine = self._now, self._fault, self._left, self._erred, self._saving, self.fuse
        self._fault = None
        with contextlib.suppress(StateError):
            self.run_or_die(now, boundary, backfill)
        self._now, self._fault, self._left, self._erred, self._saving, self.fuse = mine

    def _apply_late_write(self) -> None:
        if self._late is None:
            return
        state, tag, left = self._late
        self._late = (state, tag, left - 1) if left else None
        if not left:
            in_time = tag == str(self.version)
            self.occurred["a write landed late" if in_time else "a late write was refused"] += 1
            if in_time:
                self.store(state)


def any_fault(rng: random.Random) -> Fault:
    """Return a fault, most often of the source, which has the most kinds."""
    others = (_death, _trouble_with_state, _undelivered, _overlap, _backfill)
    draw = rng.choice((_unreadable, _unreadable, *others))
    return draw(rng)._replace(turn=rng.choice((1, 1, 1, 2, 3)))


def _failing(kind: str, place: str, error: DetectionError) -> Fault:
    return Fault(kind, place, lambda run: run.fail(error))


def _unreadable(rng: random.Random) -> Fault:
    query, way = rng.choice(list(QUERIES)), rng.choice(WAYS)
    return _failing(f"{query}: {way}", QUERIES[query], SourceError(f"{query}: {way}"))


def _death(rng: random.Random) -> Fault:
    def die(_: FaultySimulation) -> None:
        raise Killed

    place = rng.choice(PLACES)
    return Fault(f"death at {place}", place, die)


def _undelivered(rng: random.Random) -> Fault:
    """Fail before the last rows are delivered, or after."""
    kind, place = rng.choice(
        (("rows refused", "row"), ("rows accepted without answer", "delivered"))
    )
    return _failing(kind, place, DeliveryError("the endpoint is out of order"))


def _trouble_with_state(rng: random.Random) -> Fault:
    """Fail like a blob: on read, on write, or on the answer to a write."""
    silence = StateError("no answer")
    after = rng.randrange(1, 20)

    def land_late(run: FaultySimulation) -> None:
        run.save_later(after)
        run.fail(silence)

    def go_on(run: FaultySimulation) -> None:
        run.overlap(run._now + rng.randrange(30) * MINUTE, None)  # noqa: SLF001
        raise StateConflict("another run went on from what this one wrote")

    return rng.choice(
        (
            _failing("state unreadable", "load", silence),
            _failing("state unwritable", "save", silence),
            _failing("answer lost", "saved", silence),
            Fault("answer late", "save", land_late),
            Fault("answer lost and overtaken", "saved", go_on),
        )
    )


def _backfill(rng: random.Random) -> Fault:
    """Insert a backfill of recent hours, which may die itself."""
    place = rng.choice(PLACES)
    first, hours = rng.randint(2, 12), rng.randint(1, 5)
    boundary = rng.choice((None, None, rng.randrange(12)))

    def fill(run: FaultySimulation) -> None:
        start = run._now - first * HOUR  # noqa: SLF001
        if start > BEGIN + HOUR:  # no run has to report earlier operations
            run.overlap(run._now, boundary, backfill=(start, start + hours * HOUR))  # noqa: SLF001

    return Fault(f"backfilled at {place}", place, fill)


def _overlap(rng: random.Random) -> Fault:
    """Insert another run, at the same time or another, which may die itself."""
    place = rng.choice(PLACES)
    offset = rng.choice((0, 0, -45 * MINUTE, -2 * MINUTE, 20 * MINUTE))
    boundary = rng.choice((None, None, rng.randrange(12)))

    def overlap(run: FaultySimulation) -> None:
        run.overlap(run._now + offset, boundary)  # noqa: SLF001

    return Fault(f"overlapped at {place}", place, overlap)
