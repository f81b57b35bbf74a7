"""One invocation for all workspaces: several at a time, each on its own and each in its turn.

A turn is short, so that one with days to catch up lets the others go first; what is left is done
in further turns. An error at the end names every workspace that failed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from detection.errors import DetectionError, StateConflict
from detection.job import Invocation, Outcome, run
from detection.schema import RunRecord
from detection.settings import Settings
from detection.sinks import FindingSink
from detection.sources import LogSource
from detection.state import StateStore

AT_ONCE = 5  # workspaces; the service takes as many queries at once
TURN = 60.0  # seconds; then a workspace begins no further window until it is next again

log = logging.getLogger("detection")


class Parts(NamedTuple):
    """What a workspace is read with, delivered with and remembered with."""

    source: LogSource
    sink: FindingSink
    store: StateStore


def run_workspaces(
    workspace_ids: Iterable[str],
    connect: Callable[[str], Parts],
    settings: Settings,
    *,
    now: int,
    has_time: Callable[[], bool],
    turn: float = TURN,
) -> list[RunRecord]:
    """Run the job for each workspace, in this order; one that fails or is slow stops no other.

    `now` is in ticks, `turn` in seconds. A workspace whose turn does not come before the time is
    up is left alone. Returns the records of all windows. Raises DetectionError at the end, naming
    every workspace that failed and why, so that the host marks the run failed.
    """
    turns = _Turns(deque(workspace_ids), connect, settings, now, has_time, turn)
    with ThreadPoolExecutor(AT_ONCE, "workspace") as threads:
        for worker in [threads.submit(turns.work) for _ in range(AT_ONCE)]:
            worker.result()
    if turns.waiting:
        log.warning(
            "no time was left for %d workspaces, which come first next time: %s",
            len(turns.waiting),
            ", ".join(turns.waiting),
        )
    for failure in turns.failures:
        log.error("%s", failure)
    if turns.failures:
        raise DetectionError("; ".join(turns.failures))
    return turns.records


@dataclass(slots=True)
class _Turns:
    """The workspaces whose turn is still to come, and what came of those that had one."""

    waiting: deque[str]
    connect: Callable[[str], Parts]
    settings: Settings
    now: int
    has_time: Callable[[], bool]
    turn: float
    records: list[RunRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def work(self) -> None:
        """Give one workspace after another its turn, as long as there is time."""
        while self.has_time():
            try:
                workspace_id = self.waiting.popleft()
            except IndexError:
                return
            try:
                outcome = self._run(workspace_id)
            except StateConflict as error:
                # The run that was first delivers what there is, so nothing is wrong.
                log.warning("%s: %s", workspace_id, error)
            except DetectionError as error:
                self.failures.append(f"{workspace_id}: {error}")
            except Exception as error:  # a mistake in the program must not cost others their turn
                log.exception("%s", workspace_id)
                self.failures.append(f"{workspace_id}: {type(error).__name__}: {error}")
            else:
                self._note(workspace_id, outcome)

    def _run(self, workspace_id: str) -> Outcome:
        asked = Invocation(workspace_id, self.now, self.settings.timing, self.settings.rule)
        ends = time.monotonic() + self.turn
        return run(
            *self.connect(workspace_id),
            asked,
            has_time=lambda: time.monotonic() < ends and self.has_time(),
        )

    def _note(self, workspace_id: str, outcome: Outcome) -> None:
        """Keep what is small of an outcome; what it left to do waits for its next turn."""
        if outcome.left and not outcome.failures:
            self.waiting.append(workspace_id)
        self.failures += [f"{workspace_id}: {failure}" for failure in outcome.failures]
        self.records += outcome.records
        for record in outcome.records:
            _log(record)


def _log(record: RunRecord) -> None:
    """Write one line of counts and causes; nothing of what the logs hold."""
    log.log(
        logging.INFO if record["Status"] == "Success" else logging.WARNING,
        "%s %s: window %s to %s, %d sign-ins and %d operations matched, %d findings new, "
        "%d updated. %s",
        record["WorkspaceId"],
        record["Status"],
        record["WindowStart"],
        record["WindowEnd"],
        record["SignInsMatched"],
        record["OperationsMatched"],
        record["FindingsNew"],
        record["FindingsUpdated"],
        record["Error"] or record["Reason"],
    )
