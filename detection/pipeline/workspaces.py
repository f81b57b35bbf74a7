"""One invocation for all workspaces: round-robin, isolated from each other.

A turn is short: a workspace with days to catch up lets the others go first, and goes on in further
turns. An error at the end names every workspace that failed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from traceback import format_exception
from typing import NamedTuple

from detection.errors import DetectionError, StateConflict
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.printable import one_line, printable
from detection.rule.filters import RuleSettings
from detection.schema import LOCAL, RunRecord
from detection.sinks import FindingSink
from detection.sources import LogSource
from detection.state import StateStore
from detection.threads import Threads

CONCURRENT_WORKSPACES = 5  # the API runs as many queries of one identity at the same time
TURN_S = 60.0  # then a workspace begins no further window until its next turn

log = logging.getLogger("detection")


class Connections(NamedTuple):
    """The connections of one workspace."""

    source: LogSource
    sink: FindingSink
    store: StateStore


def run_workspaces(  # noqa: PLR0913 - one call from the app, with everything by name
    workspace_ids: Iterable[str],
    connect: Callable[[str], Connections],
    settings: RuleSettings,
    *,
    now: int,
    has_time: Callable[[], bool],
    turn: float = TURN_S,
    deployment: str = LOCAL,
) -> list[RunRecord]:
    """Run the job for each workspace, in this order; one that fails or is slow stops no other.

    `now` is in ticks, `turn` in seconds. Once `has_time` returns False, no further turn begins.
    `deployment` is written to every row.
    Returns the records of all windows. Raises DetectionError at the end, which names every
    workspace that failed and why, so that the host marks the run as failed.
    """
    turns = _Turns(deque(workspace_ids), connect, settings, now, has_time, turn, deployment)
    with Threads(CONCURRENT_WORKSPACES, "workspace") as threads:
        turns.run_all(threads)
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
    """The workspaces that wait for a turn, and the results of the turns so far."""

    waiting: deque[str]
    connect: Callable[[str], Connections]
    settings: RuleSettings
    now: int
    has_time: Callable[[], bool]
    turn: float
    deployment: str
    records: list[RunRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run_all(self, threads: Threads) -> None:
        """Run turns in these threads as long as there is time.

        Results are logged here, in the invocation's own thread: the Functions worker drops the log
        lines of other threads.
        """
        running: dict[Future[Outcome], str] = {}
        while True:
            while self.waiting and len(running) < CONCURRENT_WORKSPACES and self.has_time():
                workspace_id = self.waiting.popleft()
                running[threads.submit(self._run, workspace_id)] = workspace_id
            if not running:
                return
            for turn in wait(running, return_when=FIRST_COMPLETED).done:
                self._collect(running.pop(turn), turn)

    def _run(self, workspace_id: str) -> Outcome:
        invocation = Invocation(
            workspace_id, self.now, self.settings, by_clock=True, deployment=self.deployment
        )
        ends = time.monotonic() + self.turn
        return run(
            *self.connect(workspace_id),
            invocation,
            has_time=lambda: time.monotonic() < ends and self.has_time(),
        )

    def _collect(self, workspace_id: str, turn: Future[Outcome]) -> None:
        """Log the result of a turn and keep its records and failures."""
        try:
            outcome = turn.result()
        except StateConflict as error:
            # The faster run delivers the findings, so nothing is lost.
            log.warning("%s: %s", workspace_id, one_line(str(error)))
        except DetectionError as error:
            self._fail(workspace_id, str(error))
        except Exception as error:  # noqa: BLE001 - a mistake must not cost others their turn
            # Its message may hold a value of a row.
            trace = printable("".join(format_exception(error)))
            log.error("%s: %s", workspace_id, trace)  # noqa: TRY400
            self._fail(workspace_id, f"{type(error).__name__}: {error}")
        else:
            self._keep(workspace_id, outcome)

    def _keep(self, workspace_id: str, outcome: Outcome) -> None:
        """Keep records and failures; a workspace with windows left waits for its next turn."""
        if outcome.left and len(outcome.failures) == outcome.gaps:
            self.waiting.append(workspace_id)
        for failure in outcome.failures:
            self._fail(workspace_id, failure)
        self.records += outcome.records
        for record in outcome.records:
            _log(record)

    def _fail(self, workspace_id: str, reason: str) -> None:
        self.failures.append(f"{workspace_id}: {one_line(reason)}")


def _log(record: RunRecord) -> None:
    """Log one line of counts and causes, without values from log rows."""
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
        one_line(record["Error"] or record["Reason"]),
    )
