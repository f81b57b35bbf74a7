"""The state as last written, and a way to change it that loses nothing other runs wrote."""

from collections.abc import Callable

from detection.errors import StateConflict
from detection.outbox import OutboxPosition
from detection.state import State, StateStore

WRITE_ATTEMPTS = (
    10  # of one write: other runs write once a window, and each try takes seconds at most
)

Change = Callable[[State], None]


class OvertakenByAnotherRun(Exception):
    """Another run wrote a state on which a decision of this run does not stand."""


class WorkspaceState:
    """One workspace's state while a run works on it."""

    def __init__(self, store: StateStore) -> None:
        """Load the state; raises StateError if it cannot be used."""
        self._store = store
        self.state, self._tag = store.load()

    @property
    def remembers(self) -> bool:
        """Whether what is written is there for the next run."""
        return self._store.remembers

    def update(self, change: Change) -> None:
        """Apply a change and write it down, over what another run wrote in the meantime.

        A change must leave a state as it is when it raises Overtaken. Raises StateConflict where
        other runs write faster than this one, StateError if the state cannot be written.
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

    def delivered(self, place: OutboxPosition) -> None:
        """Write down that all rows before a place in the outbox were delivered."""
        begin = self.state.outbox.begin

        def leave(state: State) -> None:
            # A state that was begun anew meanwhile counts from its own beginning.
            there = state.outbox.begin
            if there.findings >= begin.findings and there.runs >= begin.runs:
                state.outbox = state.outbox.since(place)

        self.update(leave)

    def promise(self, rows: int) -> str:
        """Return what becomes of rows that could not be delivered."""
        if self.remembers:
            return f"{rows} rows wait in the outbox, and the next run delivers them first"
        return (
            f"nothing remembers the {rows} rows: run again for the same time, or let runs remember "
            "(--state-dir, STATE_ACCOUNT_URL), so that the next one delivers them"
        )
