"""The state of one workspace during a run, and updates of it that lose no update of another run."""

from collections.abc import Callable

from detection.errors import StateConflict
from detection.outbox import OutboxPosition
from detection.state import State, StateStore

WRITE_ATTEMPTS = 10  # other runs write once a window, and an attempt takes seconds at most

Change = Callable[[State], None]


class OvertakenByAnotherRun(Exception):
    """Another run wrote a state for which a decision of this run is no longer right."""


class WorkspaceState:
    """The state as last read or written, under its version (optimistic concurrency)."""

    def __init__(self, store: StateStore) -> None:
        """Load the state; raises StateError if it cannot be used."""
        self._store = store
        self.state, self._tag = store.load()

    @property
    def is_remembered(self) -> bool:
        """True if the next run finds the state that this one writes."""
        return self._store.remembers

    def update(self, change: Change) -> None:
        """Apply a change and write the state; if another run wrote first, apply it to that state.

        A change that raises OvertakenByAnotherRun must leave the state as it is. Raises
        StateConflict if other runs write faster than this one, StateError if writing fails.
        """
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            change(self.state)
            try:
                self._tag = self._store.save(self.state, self._tag)
            except StateConflict:
                if attempt == WRITE_ATTEMPTS:
                    raise
                self.state, self._tag = self._store.load()
            else:
                return

    def mark_delivered(self, position: OutboxPosition) -> None:
        """Remove the rows before a position from the outbox, and write the state."""
        begin = self.state.outbox.begin

        def remove(state: State) -> None:
            # If the state was reset in the meantime, its positions are not comparable.
            current = state.outbox.begin
            if current.findings >= begin.findings and current.runs >= begin.runs:
                state.outbox = state.outbox.after(position)

        self.update(remove)

    def next_delivery(self, rows: int) -> str:
        """Say when rows that could not be delivered are delivered, for an error message."""
        if self.is_remembered:
            return f"{rows} rows wait in the outbox, and the next run delivers them first"
        return (
            f"the {rows} rows are saved nowhere: run again for the same time, or keep a state "
            "(--state-dir, STATE_ACCOUNT_URL), so that the next run delivers them"
        )
