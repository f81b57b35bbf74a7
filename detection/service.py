"""One invocation for all workspaces: each on its own, and an error at the end if any failed."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from detection.errors import DetectionError, StateConflict
from detection.job import Invocation, Outcome, run
from detection.schema import RunRecord
from detection.settings import Settings
from detection.sinks import FindingSink
from detection.sources import LogSource
from detection.state import StateStore

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
) -> list[Outcome]:
    """Run the job for each workspace; one that fails does not stop the others.

    `now` is in ticks. Raises DetectionError at the end, naming every workspace that failed and
    why, so that the host marks the run failed.
    """
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for workspace_id in workspace_ids:
        asked = Invocation(workspace_id, now, settings.timing, settings.rule)
        try:
            outcome = run(*connect(workspace_id), asked, has_time=has_time)
        except StateConflict as error:
            # The run that was first delivers what there is, so nothing is wrong.
            log.warning("%s: %s", workspace_id, error)
            continue
        except DetectionError as error:
            failures.append(f"{workspace_id}: {error}")
            continue
        outcomes.append(outcome)
        failures += [f"{workspace_id}: {failure}" for failure in outcome.failures]
        for record in outcome.records:
            _log(record)
    for failure in failures:
        log.error("%s", failure)
    if failures:
        raise DetectionError("; ".join(failures))
    return outcomes


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
