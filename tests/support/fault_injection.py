"""What may go wrong with a run, and a simulation to which it happens as a seed says.

A `Fault` strikes when a run comes to a boundary (`Simulation.reach`). `struck` counts what really
happened, so that a test can see that nothing was left out.
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
from tests.support.histories import Killed, Simulation
from tests.support.streams import BEGIN

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
    """What happens at the `turn`th time that a run comes to a place."""

    kind: str
    place: str
    happens: Callable[["Disturbed"], None]
    turn: int = 1


@dataclass
class Disturbed(Simulation):
    """A workspace through time whose runs are disturbed."""

    struck: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)  # which of OUTAGES are out of order
    _now: int = 0
    _fault: Fault | None = None
    _left: int = 0
    _erred: bool = False
    _saving: tuple[State, Tag] = field(default_factory=lambda: (State(), ""))
    _late: tuple[State, Tag, int] | None = None

    def attempt(
        self,
        now: int,
        fault: Fault | None = None,
        *,
        by_clock: int = 0,
        backfill: tuple[int, int] | None = None,
    ) -> Outcome | None:
        """Run once with a fault; None if the run had no end, else it said what it ran into.

        `by_clock` is how far the machine's clock is ahead.
        """
        self._now, self._fault, self._erred = now + by_clock, fault, False
        self._left = fault.turn if fault else 0
        self.real = now if by_clock else None
        try:
            outcome = self.run(now + by_clock, backfill)
        except (Killed, StateError):
            return None
        finally:
            self._fault = self.real = None
        if self.refused and outcome.failures:
            self.struck[f"{self.refused} refused"] += 1
        if by_clock:
            told = "clock" in "".join(outcome.failures)
            self.struck[f"clock {'ahead' if by_clock > 0 else 'behind'}{' told' * told}"] += 1
        assert outcome.failures or not self._erred, f"silent about {fault}, down: {self.down}"
        self.struck["out of time"] += self.hurried and len(outcome.records) < outcome.due
        full = any("nothing more is examined" in failure for failure in outcome.failures)
        self.struck["outbox full"] += full
        return outcome

    def reach(self, place: str) -> None:
        """Come to a boundary, where what was planned happens."""
        super().reach(place)
        self._land()
        for side in sorted(self.down):
            places, error = OUTAGES[side]
            if place in places:
                self.struck[f"outage of the {side}"] += 1
                self.fail(error(f"the {side} is out of order"))
        if self._fault is not None and place == self._fault.place:
            self._left -= 1
            if not self._left:
                fault, self._fault = self._fault, None
                self.struck[fault.kind] += 1
                fault.happens(self)

    def fail(self, error: DetectionError) -> None:
        """Let the run meet an error, of which it has to tell."""
        self._erred = True
        raise error

    def save(self, state: State, tag: Tag) -> Tag:
        """Save as ever, and know what."""
        self._saving = state, tag
        return super().save(state, tag)

    def save_later(self, boundaries: int) -> None:
        """Let the write arrive when its run has long given up waiting for an answer."""
        self._late = *self._saving, boundaries

    def give_up_late_write(self) -> None:
        """Let a write that has not arrived by now never arrive."""
        self._late = None

    def overlap(
        self, now: int, boundary: int | None, backfill: tuple[int, int] | None = None
    ) -> None:
        """Run from start to end, or to death at a boundary, while another run is under way."""
        mine = self._now, self._fault, self._left, self._erred, self._saving, self.fuse
        self._fault = None
        with contextlib.suppress(StateError):
            self.run_or_die(now, boundary, backfill)
        self._now, self._fault, self._left, self._erred, self._saving, self.fuse = mine

    def _land(self) -> None:
        if self._late is None:
            return
        state, tag, left = self._late
        self._late = (state, tag, left - 1) if left else None
        if not left:
            in_time = tag == str(self.version)
            self.struck["a write landed late" if in_time else "a late write was refused"] += 1
            if in_time:
                self.store(state)


def any_fault(rng: random.Random) -> Fault:
    """Return a fault, most often of the source, which has so many."""
    others = (_death, _trouble_with_state, _undelivered, _overlap, _backfill)
    draw = rng.choice((_unreadable, _unreadable, *others))
    return draw(rng)._replace(turn=rng.choice((1, 1, 1, 2, 3)))


def _failing(kind: str, place: str, error: DetectionError) -> Fault:
    return Fault(kind, place, lambda run: run.fail(error))


def _unreadable(rng: random.Random) -> Fault:
    query, way = rng.choice(list(QUERIES)), rng.choice(WAYS)
    return _failing(f"{query}: {way}", QUERIES[query], SourceError(f"{query}: {way}"))


def _death(rng: random.Random) -> Fault:
    def die(_: Disturbed) -> None:
        raise Killed

    place = rng.choice(PLACES)
    return Fault(f"death at {place}", place, die)


def _undelivered(rng: random.Random) -> Fault:
    """Fail before the last rows are taken, or after."""
    kind, place = rng.choice((("rows refused", "row"), ("rows taken unsaid", "delivered")))
    return _failing(kind, place, DeliveryError("the endpoint is out of order"))


def _trouble_with_state(rng: random.Random) -> Fault:
    """Fail as a blob does: reading, writing, or answering a write."""
    silence = StateError("no answer")
    after = rng.randrange(1, 20)

    def land_late(run: Disturbed) -> None:
        run.save_later(after)
        run.fail(silence)

    def go_on(run: Disturbed) -> None:
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
    """Let a backfill of recent hours happen, which may die itself."""
    place = rng.choice(PLACES)
    first, hours = rng.randint(2, 12), rng.randint(1, 5)
    boundary = rng.choice((None, None, rng.randrange(12)))

    def fill(run: Disturbed) -> None:
        start = run._now - first * HOUR  # noqa: SLF001
        if start > BEGIN + HOUR:  # what lies before is nobody's to report
            run.overlap(run._now, boundary, backfill=(start, start + hours * HOUR))  # noqa: SLF001

    return Fault(f"backfilled at {place}", place, fill)


def _overlap(rng: random.Random) -> Fault:
    """Let another run happen, of the same moment or another, which may die itself."""
    place = rng.choice(PLACES)
    offset = rng.choice((0, 0, -45 * MINUTE, -2 * MINUTE, 20 * MINUTE))
    boundary = rng.choice((None, None, rng.randrange(12)))

    def overlap(run: Disturbed) -> None:
        run.overlap(run._now + offset, boundary)  # noqa: SLF001

    return Fault(f"overlapped at {place}", place, overlap)
