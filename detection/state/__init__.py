"""Where the watermark, the ledger and the outbox rest between runs.

A store keeps one workspace's state as one piece and writes it only if nobody else has since.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from detection.outbox import Outbox
from detection.ranking.baseline import Baseline
from detection.rule.ledger import Ledger

Tag = str  # names one written version of a state; "" before the first


@dataclass(slots=True)
class State:
    """All that one run hands to the next for one workspace; times in ticks.

    `watermark`: the end of the last window whose result is written down. `arrivals_until`: rows
    ingested up to here were visible to it. `watched_from`: the start of the first window of all.
    `reopened_from`: from where windows may start though what was reported then may be forgotten,
    because the watermark was set back. `baseline`: what identities did before, if asked for.
    """

    watermark: int | None = None
    arrivals_until: int | None = None
    watched_from: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    outbox: Outbox = field(default_factory=Outbox)
    baseline: Baseline | None = None
    reopened_from: int | None = None

    @property
    def schedule_state(self) -> tuple[object, ...]:
        """The times that a scheduled run reads and then moves on."""
        return self.watermark, self.arrivals_until, self.watched_from

    @property
    def known_from(self) -> int:
        """The moment from which on all that was reported is known."""
        return max(self.watched_from or 0, self.ledger.known_from)

    @property
    def earliest_start(self) -> int:
        """The moment before which no window of the schedule starts."""
        reopened = self.known_from if self.reopened_from is None else self.reopened_from
        return max(self.watched_from or 0, min(self.known_from, reopened))


class StateStore(Protocol):
    """Reads and conditionally writes one workspace's state."""

    @property
    def remembers(self) -> bool:
        """Whether what is saved is there the next time."""
        ...

    def load(self) -> tuple[State, Tag]:
        """Return the state, or a new one if none was ever written.

        Raises StateError if there is one that cannot be used.
        """
        ...

    def save(self, state: State, tag: Tag) -> Tag:
        """Write `state` if `tag` is still the version that rests here; return the new version.

        Raises StateConflict if another run wrote in between, StateError if writing failed.
        """
        ...


class ReadOnlyStore:
    """Keeps nothing: for a run without a state, or a dry run that only looks at one."""

    remembers: Final = False

    def __init__(self, looks_at: StateStore | None = None) -> None:
        self._looks_at = looks_at

    def load(self) -> tuple[State, Tag]:
        """Return the state looked at, or a new one."""
        return self._looks_at.load() if self._looks_at else (State(), "")

    def save(self, state: State, tag: Tag) -> Tag:
        """Leave everything as it was."""
        del state
        return tag
