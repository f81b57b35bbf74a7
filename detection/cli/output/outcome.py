"""Runs the job, shows its outcome, and gives the exit status."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from detection.cli import console as terminal
from detection.cli.options import describe_error, print_error
from detection.cli.output.outputs import Outputs
from detection.errors import DetectionError, SettingsError, UsageError
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.pipeline.workspaces import Connections
from detection.report.findings import SEVERITIES
from detection.window import Window

RECORDED_WORKSPACE: Final = "recorded"
FAILED: Final = 1
FOUND: Final = 3  # the exit status of --fail-on


def run_and_report(
    connections: Connections,
    invocation: Invocation,
    outputs: Outputs,
    fail_on: str | None = None,
) -> int:
    """Run the job, print its findings and its result, and return the exit status.

    `fail_on`: the least severity, in lower case, at which findings give the status FOUND.
    """
    notes, warnings = outputs.messages

    def progress(windows: Sequence[Window]) -> Iterator[Window]:
        outputs.found.is_long = len(windows) >= terminal.PROGRESS_FROM
        return terminal.with_progress(windows, notes)

    try:
        outcome = run(*connections, invocation, progress=progress)
    finally:  # also if a person ends the run: the findings until then are shown
        outputs.finish()
    terminal.report_outcome(outcome, outputs.messages)
    shown = {record["Error"] for record in outcome.records}
    for failure in outcome.failures:
        if failure not in shown:
            terminal.print_line(warnings, f"error: {failure}", "red")
    if outcome.failures:
        return FAILED
    return FOUND if fail_on and _reaches(outcome, fail_on) else 0


def _reaches(outcome: Outcome, severity: str) -> bool:
    """Return True if a finding has at least a severity, which is in lower case."""
    names = [name.lower() for name in SEVERITIES]  # from the gravest
    grave = names[: names.index(severity) + 1]
    return any(
        row["SuggestedSeverity"].lower() in grave for found in outcome.found for row in found
    )


def run_one(
    connect: Callable[[str], Connections],
    invocation: Invocation,
    outputs: Outputs,
    fail_on: str | None,
    workspace_id: str,
) -> int:
    """Examine one workspace and return the exit status."""
    invocation = replace(invocation, workspace_id=workspace_id)
    return run_and_report(connect(workspace_id), invocation, outputs, fail_on)


def run_each(
    workspace_ids: Sequence[str],
    examine: Callable[[str], int],
    messages: terminal.Messages,
    *,
    verbose: bool,
) -> int:
    """Examine the workspaces in turn; the failure of one does not stop the others."""
    statuses = set()
    for workspace_id in workspace_ids:
        if len(workspace_ids) > 1:
            terminal.print_line(messages.notes, f"Workspace {workspace_id}:")
        try:
            statuses.add(examine(workspace_id))
        except (UsageError, SettingsError):
            raise
        except DetectionError as error:
            print_error(str(error), verbose=verbose)
            statuses.add(FAILED)
        except Exception as error:  # noqa: BLE001 - a bug must not stop the other workspaces
            print_error(describe_error(error), verbose=verbose)
            statuses.add(FAILED)
    return FAILED if FAILED in statuses else max(statuses)
