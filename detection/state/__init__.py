"""Where the watermark, the ledger and the outbox rest between runs.

A store keeps one workspace's state as one piece and writes it only if nobody else has since.
"""

from typing import Protocol

from detection.rule.ledger import State

Tag = str  # names one written version of a state; "" before the first


class StateStore(Protocol):
    """Reads and conditionally writes one workspace's state."""

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


class Unsaved:
    """Keeps nothing: for a run without a state, or a dry run that only looks at one."""

    def __init__(self, looks_at: StateStore | None = None) -> None:
        self._looks_at = looks_at

    def load(self) -> tuple[State, Tag]:
        """Return the state looked at, or a new one."""
        return self._looks_at.load() if self._looks_at else (State(), "")

    def save(self, state: State, tag: Tag) -> Tag:
        """Leave everything as it was."""
        del state
        return tag
