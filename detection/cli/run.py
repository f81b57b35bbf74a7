"""`run`: one invocation, on recorded logs or on the workspaces in the settings."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from detection.cli import console as terminal
from detection.cli.guards import check_times, separate_from_app
from detection.cli.options import (
    TimeParam,
    backfill_bounds,
    check_distinct_files,
    current_time,
    describe_error,
    from_option,
    now_option,
    path_option,
    print_error,
    to_option,
    verbose_option,
    view_options,
)
from detection.cli.outputs import OutputFiles, Outputs, outputs_of
from detection.cli.recorded_run import check_outputs, examine_all, warn_of_rows_outside
from detection.errors import DetectionError, SettingsError, UsageError
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.pipeline.workspaces import Connections
from detection.report.findings import Selection
from detection.settings import DeploymentSettings, read_settings, rule_settings
from detection.sinks import FanOutSink
from detection.sinks.terminal import FindingsView
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore, StateStore
from detection.state.folder import FolderStore

RECORDED_WORKSPACE = "recorded"


@click.command("run")
@path_option(
    "--recorded",
    metavar="DIR",
    help="Read the recorded tables in this folder; default: the workspaces in the settings.",
)
@now_option
@from_option
@to_option
@click.option(
    "--set-watermark",
    "watermark",
    type=TimeParam(),
    metavar="TIME",
    help="Set the watermark back to TIME, to examine the hours after it again.",
)
@path_option(
    "--state-dir",
    metavar="DIR",
    help="Keep the state in this folder; without any state, every finding counts as new.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON Lines on stdout.")
@path_option(
    "--output",
    metavar="FILE",
    help="Write findings to FILE as JSON Lines; appends if there is a state, else replaces.",
)
@path_option(
    "--runs",
    metavar="FILE",
    help="Write run records, one per window, to FILE in the same way.",
)
@path_option(
    "--report",
    metavar="FILE",
    help="Write an HTML report to FILE; the page needs no network.",
)
@view_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print findings only: deliver nothing, write no file and no state.",
)
@verbose_option
def run_command(
    *,
    recorded: Path | None,
    now: int | None,
    start: int | None,
    end: int | None,
    watermark: int | None,
    state_dir: Path | None,
    as_json: bool,
    output: Path | None,
    runs: Path | None,
    report: Path | None,
    min_risk: int,
    top: int | None,
    details: bool,
    dry_run: bool,
    verbose: bool,
) -> int:
    """Examine the windows that are due.

    With --from and --to, examine the windows between them instead (a backfill). With --recorded and
    no time, examine every hour that the folder has rows of.

    Times are ISO 8601, such as 2026-03-14T10:00:00Z; a time without an offset is UTC.

    Settings come from the environment. With --recorded: LOOKBACK, CORRELATION_SPAN, MAX_CATCH_UP,
    MAX_LATENESS, SUCCESS_STATUSES, NOVELTY. Without it, also WORKSPACE_IDS; STATE_ACCOUNT_URL
    keeps the state in Azure, and LOGS_INGESTION_ENDPOINT sends the findings to a table.

    Exit status: 0 if the run succeeded; 1 if a run failed (no finding is lost); 2 if the command or
    the settings are wrong; 141 if the output pipe is closed.
    """
    invocation = Invocation(
        workspace_id=RECORDED_WORKSPACE,
        now=current_time() if now is None else now,
        settings=rule_settings(os.environ),
        backfill=backfill_bounds(now, start, end),
        watermark=watermark,
        by_clock=now is None,
    )
    files = OutputFiles(output, runs, report)
    view = FindingsView(Selection(min_risk, top), details)
    check_distinct_files({"--output": output, "--runs": runs, "--report": report}, recorded)
    if recorded is not None:
        check_times(invocation, remembers=bool(state_dir) and not dry_run)
        source = RecordedSource(recorded)
        check_outputs(source, {"--output": output, "--runs": runs, "--report": report})
        store = _store(state_dir, dry_run=dry_run)
        sentence = ""
        if invocation.by_clock and invocation.backfill is None:
            invocation, sentence = examine_all(source, recorded, invocation, store)
        else:
            warn_of_rows_outside(source, recorded, invocation, store)
        outputs = outputs_of(files, view, as_json=as_json, dry_run=dry_run, append=bool(state_dir))
        if sentence:
            terminal.print_line(Console(stderr=True, highlight=False), sentence)
        connections = Connections(source, FanOutSink(*outputs.sinks), store)
        return run_and_report(connections, invocation, outputs)
    try:
        deployment = read_settings(os.environ, complete=False).deployment
    except SettingsError as error:
        raise SettingsError(f"{error}; or give --recorded DIR to examine recorded logs") from error
    deployment = replace(deployment, dry_run=dry_run or deployment.dry_run)
    remembers = bool(state_dir or deployment.state_account_url)
    check_times(invocation, remembers=remembers and not deployment.dry_run)
    deployment = separate_from_app(deployment, state_dir)
    outputs = outputs_of(files, view, as_json=as_json, dry_run=deployment.dry_run, append=remembers)
    invocation = replace(invocation, deployment=deployment.name)
    connect = _workspaces(deployment, state_dir, outputs)
    each = partial(_run_one, connect, invocation, outputs)
    return _run_each(deployment.workspace_ids, each, verbose=verbose)


def run_and_report(connections: Connections, invocation: Invocation, outputs: Outputs) -> int:
    """Run the job, print its findings and its result, and return the exit status."""
    stderr = Console(stderr=True, highlight=False, emoji=False)
    try:
        outcome = run(
            *connections,
            invocation,
            progress=lambda windows: terminal.with_progress(windows, stderr),
        )
    finally:  # also if a person ends the run: what was found so far is shown
        outputs.finish()
    terminal.report_outcome(outcome, stderr)
    shown = {record["Error"] for record in outcome.records}
    for failure in outcome.failures:
        if failure not in shown:
            terminal.print_line(stderr, f"error: {failure}", "red")
    return 1 if outcome.failures else 0


def _workspaces(
    settings: DeploymentSettings, state_dir: Path | None, outputs: Outputs
) -> Callable[[str], Connections]:
    """Return a function from a workspace's id to its connections.

    The sinks of files and terminal come before Azure's.
    """
    # Takes half a second to import, which a run on recorded logs does not need.
    from detection.azure_clients import AzureClients  # noqa: PLC0415

    connect = AzureClients(settings).connector()

    def connect_with_outputs(workspace_id: str) -> Connections:
        source, sink, store = connect(workspace_id)
        if state_dir is not None:
            store = _store(state_dir / workspace_id, dry_run=settings.dry_run)
        return Connections(source, FanOutSink(*outputs.sinks, sink), store)

    return connect_with_outputs


def _run_one(
    connect: Callable[[str], Connections],
    invocation: Invocation,
    outputs: Outputs,
    workspace_id: str,
) -> int:
    """Examine one workspace and return the exit status."""
    connections = connect(workspace_id)
    return run_and_report(connections, replace(invocation, workspace_id=workspace_id), outputs)


def _run_each(workspace_ids: Sequence[str], examine: Callable[[str], int], *, verbose: bool) -> int:
    """Examine the workspaces in turn; the failure of one does not stop the others."""
    status = 0
    for workspace_id in workspace_ids:
        if len(workspace_ids) > 1:
            terminal.print_line(Console(stderr=True, highlight=False), f"Workspace {workspace_id}:")
        try:
            status |= examine(workspace_id)
        except (UsageError, SettingsError):
            raise
        except DetectionError as error:
            print_error(str(error), verbose=verbose)
            status = 1
        except Exception as error:  # noqa: BLE001 - a bug must not stop the other workspaces
            print_error(describe_error(error), verbose=verbose)
            status = 1
    return status


def _store(folder: Path | None, *, dry_run: bool) -> StateStore:
    if folder is None:
        return ReadOnlyStore()
    store = FolderStore(folder, create=not dry_run)
    return ReadOnlyStore(store) if dry_run else store
