"""Stores for the state between runs: watermark, ledger, outbox and baseline.

A store keeps one workspace's state as one document. It writes the document only if no other run has
written it since it was read.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from detection.outbox import Outbox
from detection.ranking.baseline import Baseline
from detection.rule.ledger import Ledger

Tag = str  # identifies one stored version of a state; "" before the first


@dataclass(slots=True)
class State:
    """Everything that one run passes to the next for one workspace; times in ticks.

    `watermark`: the end of the last examined window whose result is saved. `arrivals_until`: rows
    ingested up to here were visible to that window. `watched_from`: the start of the first window.
    `reopened_from`: the earliest start of a window after the watermark was set back, even if the
    ledger has forgotten operations of that time; None otherwise. `baseline`: past activity of
    identities, if novelty scoring has read it.
    """

    watermark: int | None = None
    arrivals_until: int | None = None
    watched_from: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    outbox: Outbox = field(default_factory=Outbox)
    baseline: Baseline | None = None
    reopened_from: int | None = None

    @property
    def schedule_position(self) -> tuple[object, ...]:
        """The fields that decide the windows of a scheduled run; each run changes them."""
        return self.watermark, self.arrivals_until, self.watched_from

    @property
    def known_from(self) -> int:
        """The time after which every reported operation is still known."""
        return max(self.watched_from or 0, self.ledger.known_from)

    @property
    def earliest_start(self) -> int:
        """The earliest start of a scheduled window."""
        reopened = self.known_from if self.reopened_from is None else self.reopened_from
        return max(self.watched_from or 0, min(self.known_from, reopened))


class StateStore(Protocol):
    """Reads one workspace's state, and writes it if no other run has written it since."""

    @property
    def remembers(self) -> bool:
        """True if a later run can load the saved state."""
        ...

    def load(self) -> tuple[State, Tag]:
        """Return the state; a new one if none was ever written.

        Raises StateError if the state exists and cannot be used.
        """
        ...

    def save(self, state: State, tag: Tag) -> Tag:
        """Write `state` if `tag` still names the stored version; return the new version's tag.

        Raises StateConflict if another run wrote in between, StateError if writing failed.
        """
        ...


class ReadOnlyStore:
    """Saves nothing: for a run without a state, or for a dry run that only reads one."""

    remembers: Final = False

    def __init__(self, store: StateStore | None = None) -> None:
        self._store = store

    def load(self) -> tuple[State, Tag]:
        """Return the state of the underlying store; a new one if there is none."""
        return self._store.load() if self._store else (State(), "")

    def save(self, state: State, tag: Tag) -> Tag:
        """Change nothing; return the same tag."""
        del state
        return tag
